"""Sending with the real client against the loopback: once and only once, and every end has its exit code."""

import json
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.artifacts import lock, manifest, paths
from pipeline.config import Config
from pipeline.errors import DataError, LockedError, UsageError
from pipeline.leaderboard import answers, client, ledger, outgoing, send
from pipeline.leaderboard.answers import KaggleError
from pipeline.leaderboard.send import Waits

FAST = Waits(after_sending=(0.0,), first=0.01, longest=0.02, give_up=30.0)
ROWS = {"01": "cat", "02": "dog", "03": "eel"}


def make_config(**data: str) -> Config:
    """A prepared competition with three test rows, whose files are in the current folder."""
    raw = {"data": {"name": "pets", "root": "pets", **data}, "members": [{"name": "m", "model": "resnet18"}]}
    config = configuration.resolve(raw, {}, "test")
    sample = Path("pets/sample_submission.csv")
    sample.parent.mkdir(exist_ok=True)
    sample.write_text("id,label\n" + "".join(f"{name},cat\n" for name in ROWS))
    facts = {"classes": ["cat", "dog", "eel"], "sample_submission": str(sample)}
    expected = manifest.Expected("prepare", 1, {})
    manifest.publish(paths.cache_manifest(config), expected, [], 0.0, facts)
    return config


def write(name: str = "best.csv", rows: dict[str, str] = ROWS) -> Path:
    path = Path(name)
    path.write_text("id,label\n" + "".join(f"{key},{label}\n" for key, label in rows.items()))
    return path


def write_scores(config: Config, path: Path) -> None:
    scores = {
        "submission": str(path),
        "cross_fitted": 0.817,
        "standard_error": 0.004,
        "members": {"m": {"weight": 1.0}},
        "oof_shares": [0.4, 0.3, 0.3],
    }
    folder = paths.ensemble(config)
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(scores))


def events(config: Config) -> list[str]:
    return [entry["event"] for entry in ledger.read(paths.ledger(config))]


def test_sent_scored_and_remembered_and_never_twice(kaggle, capsys):
    config, path = make_config(kaggle="loopback"), write()
    write_scores(config, path)
    send.send_file(config, path, waits=FAST)
    assert events(config) == ["prepared", "sent", "scored"]
    closing = "public 0.81234 | CV 0.8170 ± 0.0040 | gap −0.0047 | best so far 0.81234 | 4 left today"
    assert capsys.readouterr().out.splitlines()[-1] == closing
    [entry] = ledger.latest(ledger.read(paths.ledger(config)), "loopback")
    assert (entry["ref"], entry["public"], entry["rows"], entry["members"]) == (
        "1000",
        0.81234,
        3,
        {"m": 1.0},
    )
    assert entry["sha256"][:8] in kaggle.submissions[0]["description"]

    with pytest.raises(KaggleError, match=r"this file was sent before: best.csv, .*0\.81234") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 12
    other_order = write("again.csv", dict(reversed(ROWS.items())))
    with pytest.raises(
        KaggleError, match=r"same predictions were sent before: best.csv, .*0\.81234"
    ) as caught:
        send.send_file(config, other_order, waits=FAST)
    assert caught.value.exit_code == 12
    assert len(kaggle.submissions) == 1


def test_forced_and_pending_then_waited_for(kaggle, capsys):
    config, path = make_config(kaggle="loopback"), write()
    kaggle.pending_lists = 1000
    with pytest.raises(KaggleError, match="--wait 1000") as caught:
        send.send_file(config, path, waits=Waits((0.0,), 0.01, 0.01, give_up=0.0))
    assert caught.value.exit_code == 10
    with pytest.raises(KaggleError, match="1001") as caught:
        send.send_file(config, path, force=True, waits=Waits((0.0,), 0.01, 0.01, give_up=0.0))
    assert caught.value.exit_code == 10
    kaggle.pending_lists = 0
    send.wait_for(config, "1000", FAST)
    assert "public 0.81234" in capsys.readouterr().out
    assert events(config) == ["prepared", "sent", "prepared", "sent", "scored"]


def test_upload_refused_with_exit_0_is_not_sent(kaggle):
    kaggle.fail["upload"] = 403
    config, path = make_config(kaggle="loopback"), write()
    with pytest.raises(KaggleError, match="not sent") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 16
    assert (kaggle.submissions, events(config)) == ([], ["prepared", "not sent"])


def test_lost_answer_is_found_in_the_list(kaggle, capsys):
    kaggle.fail["CreateSubmission"] = "cut after"
    config, path = make_config(kaggle="loopback"), write()
    send.send_file(config, path, waits=FAST)
    assert len(kaggle.submissions) == 1
    assert "public 0.81234" in capsys.readouterr().out


def test_unknown_is_said_and_the_next_try_finds_it(kaggle, monkeypatch):
    """The answer is lost and so is the list: exit 11; the same command again finds the one submission."""
    kaggle.fail["CreateSubmission"] = "cut after"
    config, path = make_config(kaggle="loopback"), write()
    before = client.list_submissions
    lists = iter([before])

    def list_once(slug: str) -> list[answers.Submission]:
        look = next(lists, None)
        if look is None:
            raise KaggleError("away", 16)
        return look(slug)

    monkeypatch.setattr(client, "list_submissions", list_once)
    with pytest.raises(KaggleError, match="unknown whether") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 11
    monkeypatch.setattr(client, "list_submissions", before)
    send.send_file(config, path, waits=FAST)
    assert len(kaggle.submissions) == 1
    assert events(config) == ["prepared", "sent", "scored"]


def test_refused_creation_is_not_sent(kaggle):
    kaggle.fail["CreateSubmission"] = 400
    config, path = make_config(kaggle="loopback"), write()
    with pytest.raises(KaggleError, match="refused by the test") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 16
    assert kaggle.submissions == []


def test_no_quota_uploads_nothing(kaggle):
    kaggle.made_before = kaggle.allowed
    config, path = make_config(kaggle="loopback"), write()
    with pytest.raises(KaggleError, match=r"5 made.*00:00 UTC") as caught:
        send.send_file(config, path, waits=FAST)
    assert (caught.value.exit_code, kaggle.uploads, events(config)) == (15, {}, [])


def test_scoring_error_is_17(kaggle):
    kaggle.status = "ERROR"
    config, path = make_config(kaggle="loopback"), write()
    with pytest.raises(KaggleError, match="couldn't score 1000") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 17
    assert events(config)[-1] == "error"


def test_nothing_is_asked_without_credentials_slug_or_a_valid_file(kaggle, monkeypatch):
    config, path = make_config(kaggle="loopback"), write()
    with lock.hold(paths.competition(config) / "submit.lock", "the test"), pytest.raises(LockedError):
        send.send_file(config, path, waits=FAST)
    with pytest.raises(DataError, match="'03'"):
        send.send_file(config, write("short.csv", {"01": "cat", "02": "dog"}), waits=FAST)
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(KaggleError, match=r"kaggle competitions submit loopback -f best\.csv -m") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 13
    with pytest.raises(UsageError, match=r"data\.kaggle"):
        send.send_file(make_config(), path, waits=FAST)
    assert kaggle.calls == []


def test_a_wrong_ref_is_said(kaggle):
    with pytest.raises(KaggleError, match="77 isn't among") as caught:
        send.wait_for(make_config(kaggle="loopback"), "77", FAST)
    assert caught.value.exit_code == 11


def test_the_last_submission_is_compared_only_while_its_file_is_the_one_that_was_sent(kaggle, capsys):
    config, sent = make_config(kaggle="loopback"), {"01": "eel", "02": "dog", "03": "dog"}
    send.send_file(config, write("kept.csv", sent), waits=FAST)
    send.send_file(config, write("overwritten.csv"), waits=FAST)
    write("overwritten.csv", dict.fromkeys(ROWS, "eel"))
    outgoing.show(config, outgoing.look_at(config, write("other.csv", {**sent, "03": "cat"})))
    out = capsys.readouterr().out
    assert "66.7% of the rows are as in kept.csv" in out
    assert "as in overwritten.csv" not in out
