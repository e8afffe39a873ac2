"""Changed predictions are counted by id, from files that are still what was sent."""

from pathlib import Path

import pytest

from pipeline.leaderboard.changes import between, changed_predictions
from pipeline.leaderboard.csv_rows import parse
from tests.test_standing import entry, with_file


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_changed_rows_are_counted_by_id():
    rows = parse(b"id,label\n1,cat\n2,dog\n3,eel\n")
    assert changed_predictions(rows, parse(b"id,label\n3,eel\n2,cat\n1,cat\n")) == 1
    assert changed_predictions(rows, parse(b"id,label\n1,cat\n2,dog\n4,eel\n")) == 2
    assert changed_predictions(rows, parse(b"id,other\n1,cat\n2,dog\n3,eel\n")) == 3
    lists = parse(b"id,labels\n1,cat dog\n"), parse(b"id,labels\n1,dog cat\n")
    assert changed_predictions(*lists) == 1


def test_probabilities_count_by_the_mass_that_moved():
    one = parse(b"id,a,b,c\n1,1,0,0\n2,.5,.25,.25\n")
    assert changed_predictions(one, parse(b"id,b,a,c\n2,.25,.5,.25\n1,0,1.0,0\n")) == 0
    assert changed_predictions(one, parse(b"id,a,b,c\n1,0,1,0\n2,.4,.35,.25\n")) == pytest.approx(1.1)
    binary = parse(b"id,p\n1,.5\n2,1\n"), parse(b"id,p\n1,.75\n2,0\n")
    assert changed_predictions(*binary) == pytest.approx(1.25)
    numbers = parse(b"id,label\n1,0\n2,7\n"), parse(b"id,label\n1,0\n2,5\n")
    assert changed_predictions(*numbers) == 1


def test_a_file_counts_only_with_the_bytes_that_were_sent():
    a, b = with_file("aaaa", 0.5), with_file("aabb", 0.6)
    assert between(a, b) == 2
    Path(b["file"]).write_text("id,label\n0000,a\n")
    b["sha256"] = "0" * 64
    assert between(a, b) is None
    assert between(a, {**a, "file": None}) == 0
    assert between(a, entry("r", 0.7)) is None
    assert between(entry("r", 0.7), entry("s", 0.7)) is None
