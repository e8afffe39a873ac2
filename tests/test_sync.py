"""The ledger after --sync says what the site's list says, whoever sent it and whatever was interrupted."""

import pytest

from pipeline.artifacts import lock, paths
from pipeline.errors import LockedError, UsageError
from pipeline.leaderboard import client, ledger, outgoing, send, sync
from pipeline.leaderboard.answers import KaggleError
from pipeline.leaderboard.send import Waits
from tests.test_send import FAST, events, make_config, write, write_scores


def known(config):
    return ledger.latest(ledger.read(paths.ledger(config)), "loopback")


def test_what_was_sent_by_hand_is_imported_once_and_scored_later(kaggle, capsys):
    config = make_config(kaggle="loopback")
    client.submit("loopback", write("by hand.csv"), "my first try")
    kaggle.pending_lists = 1
    sync.sync(config)
    assert "1 imported" in capsys.readouterr().out
    [entry] = known(config)
    assert (entry["ref"], entry["public"], entry["cv"], entry["file"]) == ("1000", None, None, None)
    assert entry["message"] == "by hand.csv; my first try"
    assert entry["time"] == "2030-01-01T00:00:00+00:00"
    sync.sync(config)
    assert "1 scored" in capsys.readouterr().out
    assert [entry["public"] for entry in known(config)] == [0.81234]
    sync.sync(config)
    assert "nothing new" in capsys.readouterr().out
    assert events(config) == ["sent", "scored"]


def test_a_score_that_nobody_waited_for_is_filled_in_beside_its_cv(kaggle):
    config, path = make_config(kaggle="loopback"), write()
    write_scores(config, path)
    kaggle.pending_lists = 1000
    with pytest.raises(KaggleError, match="no score"):
        send.send_file(config, path, waits=Waits((0.0,), 0.01, 0.01, give_up=0.0))
    kaggle.pending_lists = 0
    sync.sync(config)
    [entry] = known(config)
    assert (entry["event"], entry["public"], entry["cv"], entry["file"]) == (
        "scored",
        0.81234,
        0.817,
        "best.csv",
    )


def test_an_interrupted_try_that_arrived_is_recognised_by_its_tag(kaggle):
    config, path = make_config(kaggle="loopback"), write()
    file = outgoing.look_at(config, path)
    fields = {"slug": "loopback", "file": str(path), "sha256": file.sha256, "predictions": file.predictions}
    ledger.append(paths.ledger(config), "prepared", **fields)
    client.submit("loopback", path, file.message)
    sync.sync(config)
    [entry] = known(config)
    assert (entry["ref"], entry["file"], entry["predictions"]) == ("1000", "best.csv", file.predictions)
    with pytest.raises(KaggleError, match="was sent before") as caught:
        send.send_file(config, path, waits=FAST)
    assert caught.value.exit_code == 12


def test_a_scoring_error_and_a_rescoring_are_remembered(kaggle):
    config = make_config(kaggle="loopback")
    client.submit("loopback", write(), "a")
    kaggle.pending_lists, kaggle.status = 0, "ERROR"
    sync.sync(config)
    assert [entry["event"] for entry in known(config)] == ["error"]
    kaggle.submissions[0] |= {"status": "COMPLETE", "publicScore": "0.5"}
    sync.sync(config)
    kaggle.submissions[0]["publicScore"] = "0.6"
    sync.sync(config)
    sync.sync(config)
    assert [entry["public"] for entry in known(config)] == [0.6]
    assert events(config) == ["sent", "error", "scored", "scored"]


def test_submissions_stand_in_the_order_in_which_they_were_made(kaggle):
    config, path = make_config(kaggle="loopback"), write()
    send.send_file(config, path, waits=FAST)
    client.submit("loopback", write("older.csv"), "made before")
    kaggle.submissions[0]["date"] = "2020-01-01T00:00:00Z"
    sync.sync(config)
    assert [entry["ref"] for entry in known(config)] == ["1001", "1000"]


def test_no_list_no_change(kaggle):
    config = make_config(kaggle="loopback")
    kaggle.fail["ListSubmissions"], kaggle.message = 403, "You must accept this competition's rules"
    with pytest.raises(KaggleError) as caught:
        sync.sync(config)
    assert caught.value.exit_code == 14
    with lock.hold(paths.competition(config) / "submit.lock", "a test"), pytest.raises(LockedError):
        sync.sync(config)
    with pytest.raises(UsageError, match=r"data\.kaggle"):
        sync.sync(make_config())
    assert events(config) == []
