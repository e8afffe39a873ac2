"""Submit shows and sends nothing by itself; its own words on the command line are understood."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import submit
from pipeline.artifacts import paths
from pipeline.config import Config, Drawn
from pipeline.errors import DataError, UsageError
from pipeline.leaderboard import client, ledger, send, sync
from tests.test_send import make_config, write, write_scores


@pytest.fixture(autouse=True)
def nothing_is_called(tmp_path, monkeypatch):
    """Every test here fails if the client is run."""

    def forbidden(*arguments: object) -> None:
        raise AssertionError(f"the client was called: {arguments}")

    monkeypatch.setattr(client, "call", forbidden)
    monkeypatch.chdir(tmp_path)


def run(config: Config, **options: object) -> None:
    flags = {"file": None, "send": False, "wait": None, "sync": False, "pick": False, "force": False}
    submit.run(config, argparse.Namespace(**{**flags, **options}))


def files() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*")}


def test_the_newest_submission_is_shown_and_not_sent(capsys):
    config, path = make_config(kaggle="loopback"), write("my best.csv")
    write_scores(config, path)
    before = files()
    run(config)
    out = capsys.readouterr().out
    assert "not sent" in out
    assert "my best.csv: 3 rows, sha256 " in out
    assert "CV 0.8170 ± 0.0040" in out
    assert (
        "kaggle competitions submit loopback -f 'my best.csv' -m 'macro-f1 0.8170 ± 0.0040 CV; m; sha:" in out
    )
    assert files() == before
    assert submit.states(config)[0].why == "python -m pipeline.submit --send"


def test_a_bad_file_is_told_in_full():
    config = make_config(kaggle="loopback")
    with pytest.raises(DataError, match=r"(?s)2 rows, the sample has 3.*'cow'") as caught:
        run(config, file=write("bad.csv", {"01": "cow", "02": "dog"}))
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="No such file"):
        run(config, file=Path("none.csv"))


def test_one_line_where_there_is_no_competition(capsys):
    run(make_config())
    assert capsys.readouterr().out == (
        "submit    nothing to send: no Kaggle competition configured (data.kaggle)\n"
    )
    run(configuration.load("sample"))
    assert capsys.readouterr().out.count("\n") == 1
    for config in (make_config(), configuration.load("sample")):
        assert submit.states(config)[0].state == "done"
        for flags in ({"send": True}, {"wait": "7"}):
            with pytest.raises(UsageError, match=r"data\.kaggle"):
                run(config, **flags)


def test_a_file_of_the_sample_competition_is_checked(tmp_path, capsys):
    config = make_config()
    config = replace(config, data=replace(config.data, drawn=Drawn()))
    run(config, file=write())
    out = capsys.readouterr().out
    assert "best.csv: 3 rows" in out
    assert "nowhere to send it: the sample competition is drawn" in out
    with pytest.raises(DataError, match="'cow'"):
        run(config, file=write("bad.csv", {"01": "cow", "02": "dog", "03": "eel"}))


def test_only_a_computed_file_may_equal_the_sample(capsys):
    config, path = (
        make_config(kaggle="loopback"),
        write("equal.csv", dict.fromkeys(("01", "02", "03"), "cat")),
    )
    with pytest.raises(DataError, match="sample submission itself"):
        run(config, file=path)
    write_scores(config, path)
    run(config)
    assert "those of the sample submission" in capsys.readouterr().err


def test_nothing_to_send_yet(capsys):
    config = make_config(kaggle="loopback")
    run(config)
    assert "the ensemble wrote no submission" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"pipeline\.ensemble"):
        run(config, send=True)


def test_flags_reach_the_sender(monkeypatch):
    config, path = make_config(kaggle="loopback"), write()
    write_scores(config, path)
    sent = []
    monkeypatch.setattr(send, "send_file", lambda config, path, force: sent.append((path, force)))
    monkeypatch.setattr(send, "wait_for", lambda config, ref: sent.append(ref))
    run(config, send=True)
    run(config, send=True, force=True, file=Path("other.csv"))
    monkeypatch.setattr(sync, "sync", lambda config: sent.append("synced"))
    run(config, wait="7")
    run(config, sync=True)
    assert sent == [(path, False), (Path("other.csv"), True), "7", "synced"]


def test_the_state_follows_the_ledger(capsys):
    config, path = make_config(kaggle="loopback"), write()
    assert submit.states(config)[0].why == "earlier stages first"
    write_scores(config, path)
    book = paths.ledger(config)
    seen = []
    steps = [("prepared", {}), ("sent", {"ref": "7"}), ("scored", {"ref": "7", "public": 0.8})]
    for event, fields in steps:
        ledger.append(book, event, slug="loopback", sha256="1", file=str(path), **fields)
        [state] = submit.states(config)
        seen.append((state.state, state.score))
    assert seen == [("to do", None), ("running", None), ("done", 0.8)]
    run(config)
    assert capsys.readouterr().out == "submit    best.csv was sent, public 0.80000\n"


def test_without_a_sample_the_form_is_unchecked_and_that_is_said(capsys):
    from pipeline.artifacts import manifest

    config, path = make_config(kaggle="loopback"), write()
    facts = {"classes": ["cat", "dog", "eel"], "sample_submission": ""}
    manifest.publish(paths.cache_manifest(config), manifest.Expected("prepare", 1, {}), [], 0.0, facts)
    run(config, file=path)
    assert "no sample submission" in capsys.readouterr().err


def test_one_thing_at_a_time(capsys):
    parser = argparse.ArgumentParser()
    submit.add_arguments(parser)
    for flags in (["--pick", "--send"], ["--send", "--wait", "7"], ["--sync", "--send"]):
        with pytest.raises(SystemExit):
            parser.parse_intermixed_args(flags)
    assert "not allowed with" in capsys.readouterr().err
