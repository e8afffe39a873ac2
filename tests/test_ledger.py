"""The ledger keeps what was written, forgives a torn line, and tells submissions apart."""

import json

import pytest

from pipeline.leaderboard import ledger


def test_lines_are_added_and_come_back(tmp_path):
    path = tmp_path / "submissions" / "ledger.jsonl"
    assert ledger.read(path) == []
    first = ledger.append(path, "prepared", slug="c", sha256="1", file="ä.csv", cv=0.5)
    second = ledger.append(path, "sent", slug="c", sha256="1", ref="7")
    assert ledger.read(path) == [first, second]
    assert set(first) == set(ledger.FIELDS)
    assert len(path.read_bytes().splitlines()) == 2


def test_a_torn_last_line_spoils_only_itself(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, "prepared", slug="c", sha256="1")
    ledger.append(path, "sent", slug="c", sha256="1")
    whole = path.read_bytes()
    for length in range(len(whole.splitlines()[0]) + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert [entry["event"] for entry in ledger.read(path)] == ["prepared"]
    ledger.append(path, "scored", slug="c", sha256="1")
    assert [entry["event"] for entry in ledger.read(path)] == ["prepared", "scored"]


def test_foreign_lines_are_passed_over_and_old_ones_get_new_fields(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('[1]\n{"event": "of the future"}\n\xff\n{"event": "sent", "slug": "c"}\n')
    [entry] = ledger.read(path)
    assert (entry["slug"], entry["public"], entry["cv_rows"]) == ("c", None, None)


def test_unknown_events_and_fields_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'posted'"):
        ledger.append(tmp_path / "l", "posted")
    with pytest.raises(ValueError, match="token"):
        ledger.append(tmp_path / "l", "sent", token="x")
    assert not (tmp_path / "l").exists()


def test_later_lines_of_a_submission_are_joined(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, "prepared", slug="c", sha256="1", file="a", cv=0.5)
    ledger.append(path, "not sent", slug="c", sha256="1", error="no")
    ledger.append(path, "prepared", slug="c", sha256="1", file="a", cv=0.6)
    ledger.append(path, "sent", slug="c", sha256="1", ref="7")
    ledger.append(path, "prepared", slug="other", sha256="1", file="a")
    ledger.append(path, "scored", slug="c", ref="7", public=0.8)
    ledger.append(path, "scored", slug="c", ref="8", public=0.9)
    found = [(e["event"], e["ref"], e["cv"], e["public"]) for e in ledger.latest(ledger.read(path), "c")]
    assert found == [("not sent", None, 0.5, None), ("scored", "7", 0.6, 0.8), ("scored", "8", None, 0.9)]


def test_the_commit_is_read_from_git(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert ledger.commit() is None
    (git / "packed-refs").write_text("# pack-refs\n" + "1" * 40 + " refs/heads/main\n")
    assert ledger.commit() == "1" * 40
    (git / "refs" / "heads" / "main").write_text("2" * 40 + "\n")
    assert ledger.commit() == "2" * 40
    (git / "HEAD").write_text("3" * 40 + "\n")
    assert ledger.commit() == "3" * 40


def test_lines_are_plain_json(tmp_path):
    ledger.append(tmp_path / "l", "sent", members={"a": 1.0}, message="α\nβ")
    [line] = (tmp_path / "l").read_text().splitlines()
    assert json.loads(line)["message"] == "α\nβ"
