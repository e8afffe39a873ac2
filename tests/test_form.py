"""Forms are read off sample submissions of every kind, and predictions come back in them, joined by id."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.leaderboard.check import check_submission
from pipeline.leaderboard.csv_rows import parse
from pipeline.leaderboard.form import Form, read_form
from pipeline.leaderboard.render import render

PETS = ["cat", "dog", "eel"]
IDS = ["007", "1e5", "NA"]
PROBS = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25], [0.2, 0.3, 0.5]], np.float32)


@pytest.fixture
def read(tmp_path: Path):
    def reader(text: str | bytes, classes=PETS, needs=None, codes=()) -> Form:
        path = tmp_path / "sample_submission.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_form(path, classes, needs, codes)

    return reader


def cells(*labels: str) -> str:
    return "id,label\n" + "".join(f"{name},{label}\n" for name, label in zip(IDS, labels, strict=True))


@pytest.mark.parametrize(
    ("labels", "written", "dog"),
    [
        (("cat", "cat", "dog"), "class name", "dog"),
        (("0", "0", "0"), "0-based number", "1"),
        (("0", "2", "1"), "0-based number", "1"),
        (("3", "1", "2"), "1-based number", "2"),
    ],
)
def test_label_forms(read, labels, written, dog):
    form = read(cells(*labels))
    assert (form.kind, form.written, form.ids) == ("label", written, tuple(IDS))
    text = render(form, IDS, np.array([1, 1, 1]), None).decode()
    assert text == f"id,label\n007,{dog}\n1e5,{dog}\nNA,{dog}\n"


@pytest.mark.parametrize("number", ["0", "1", "3", "4"])
def test_numbers_that_are_class_names_are_names(read, number):
    form = read(cells(number, number, number), classes=["1", "2", "3"])
    assert (form.kind, form.labels, form.written) == ("label", ("1", "2", "3"), "class name")


@pytest.mark.parametrize(
    ("codes", "labels", "written", "dog"),
    [
        (("0", "1", "2"), ("cat", "cat", "dog"), "class name", "dog"),
        (("0", "1", "2"), ("0", "0", "0"), "0-based number", "1"),
        (("0", "1", "2"), ("1", "1", "1"), "0-based number", "1"),
        (("0", "1", "2"), ("3", "1", "2"), "1-based number", "2"),
        (("1", "2", "3"), ("1", "1", "1"), "1-based number", "2"),
        (("1", "2", "3"), ("0", "2", "0"), "0-based number", "1"),
        (("000", "001", "002"), ("000", "000", "000"), "folder's name", "001"),
        (("000", "001", "002"), ("2", "0", "0"), "0-based number", "1"),
        (("3", "7", "12"), ("7", "7", "12"), "folder's name", "7"),
    ],
)
def test_classes_with_names_may_be_asked_by_their_folders_names(read, codes, labels, written, dog):
    form = read(cells(*labels), codes=codes)
    assert (form.kind, form.written) == ("label", written)
    assert render(form, IDS, np.array([1, 1, 1]), None).decode().splitlines()[1] == f"007,{dog}"
    lists = read(cells(*(f"{label} {label}" for label in labels)), codes=codes)
    assert (lists.kind, lists.labels, lists.written) == ("topk", form.labels, written)


def test_columns_and_one_probability_by_folders_names(read):
    form = read("id,12,3,7\n007,0,0,0\n1e5,0,0,0\nNA,0,0,0\n", codes=("3", "7", "12"))
    assert (form.kind, form.written) == ("probs", "folder's name")
    assert render(form, IDS, None, PROBS).decode().splitlines()[1] == "007,0.2,0.1,0.7"
    for column, positive in (("7", 0), ("9", 1), ("dog", 1), ("p", 1)):
        form = read(f"id,{column}\n007,0.5\n1e5,0.5\nNA,0.5\n", classes=["cat", "dog"], codes=["7", "9"])
        assert (form.kind, form.positive) == ("binary", positive)
    assert read(cells("9", "7", "7"), ["cat", "dog"], "labels", ["7", "9"]).labels == ("7", "9")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_sample_s_delimiter_is_kept(read, delimiter):
    form = read(cells("cat", "cat", "cat").replace(",", delimiter) + "\n \n")
    data = render(form, IDS, np.array([1, 1, 2]), None)
    assert data.decode() == "id,label\n007,dog\n1e5,dog\nNA,eel\n".replace(",", delimiter)
    assert parse(data)[1] == ["007", "dog"]
    assert check_submission(data, form).faults == ()
    [fault] = check_submission(data.replace(delimiter.encode(), b","), form).faults
    assert "separated by ','" in fault


def test_rows_follow_the_sample_and_are_joined_by_id(read):
    form = read(cells("cat", "cat", "cat"))
    shuffled = [IDS[2], "of no interest", IDS[0], IDS[1]]
    assert render(form, shuffled, np.array([2, 0, 0, 1]), None) == b"id,label\n007,cat\n1e5,dog\nNA,eel\n"


def test_columns_in_another_order_or_numbered(read):
    named = read("id,eel,cat,dog\n007,0,0,0\n1e5,0,0,0\nNA,0,0,0\n")
    assert render(named, IDS, None, PROBS).decode().splitlines()[:2] == ["id,eel,cat,dog", "007,0.2,0.1,0.7"]
    for header in ("0,1,2", "class_1,class_2,class_3"):
        form = read(f"id,{header}\n007,0,0,0\n1e5,0,0,0\nNA,0,0,0\n")
        assert form.kind == "probs"
        assert render(form, IDS, None, PROBS).decode().splitlines()[1] == "007,0.1,0.7,0.2"


@pytest.mark.parametrize(("column", "positive"), [("label", 1), ("dog", 1), ("cat", 0)])
def test_one_probability_of_two_classes(read, column, positive):
    form = read(f"id,{column}\n007,0.5\n1e5,0.5\nNA,0.5\n", classes=["cat", "dog"])
    assert (form.kind, form.positive) == ("binary", positive)
    probs = np.array([[0.25, 0.75]] * 3, np.float32)
    assert parse(render(form, IDS, None, probs))[1] == ["007", "0.75" if positive else "0.25"]


def test_bare_zeros_of_two_classes_need_the_metric(read):
    for classes in (["cat", "dog"], ["0", "1"]):
        assert read(cells("0", "0", "0"), classes, "probs").kind == "binary"
        assert read(cells("0", "0", "0"), classes, "labels").kind == "label"
        with pytest.raises(DataError, match="labels or probabilities"):
            read(cells("0", "0", "0"), classes)


def test_several_labels_in_a_cell(read):
    form = read(cells("cat dog", "cat dog", "cat dog"))
    assert (form.kind, form.k, form.separator) == ("topk", 2, " ")
    assert render(form, IDS, None, PROBS).decode().splitlines()[1:] == [
        "007,dog eel",
        "1e5,cat dog",
        "NA,eel dog",
    ]
    numbered = read(cells("0 1 2 2 2", "0 1 2 2 2", "0 1 2 2 2"))
    assert (numbered.kind, numbered.k, numbered.labels) == ("topk", 3, ("0", "1", "2"))


def test_byte_order_mark_and_line_ends_are_not_copied(read):
    form = read(b"\xef\xbb\xbf" + cells("cat", "cat", "cat").replace("\n", "\r\n").encode())
    assert render(form, IDS, np.zeros(3, int), None) == b"id,label\n007,cat\n1e5,cat\nNA,cat\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (cells("1", "1", "2"), "start at 0 or at 1"),
        (cells("0", "3", "1"), "neither 0 to 2 nor 1 to 3"),
        (cells("cow", "cow", "cow"), "'cow'"),
        (cells("0.5", "0.5", "0.5"), "'0.5'"),
        (cells("", "", ""), "''"),
        ("id,a,b\n1,0,0\n", "2 columns beside the ids"),
        ("id,cat,dog,cow\n1,0,0,0\n", "'cow'"),
        ("id\n1\n", "one column"),
        (cells("1", "1", "1"), "start at 0 or at 1"),
        ("id,label\n", "no rows"),
        ("", "empty"),
        ("id,label\n1,cat\n2\n", "line 3 has 1 cells"),
        ("id,label\n1,cat\n1,cat\n", "rows 2 and 3"),
        ("id,label\n,cat\n", "row 2 has no id"),
        (b"id,label\n\xff,cat\n", "no UTF-8"),
        ('id,label\n1,"cat\n', "line 2"),
    ],
)
def test_what_cant_be_told_says_what_was_found(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text)


def test_missing_and_doubled_ids_are_refused(read):
    form = read(cells("cat", "cat", "cat"))
    with pytest.raises(
        DataError, match=r"2 of the sample submission's 3 ids have no prediction: '1e5', 'NA'"
    ):
        render(form, ["007", "7"], np.zeros(2, int), None)
    with pytest.raises(DataError, match=r"two predictions: 'NA'"):
        render(form, [*IDS, "NA"], np.zeros(4, int), None)


def test_a_sample_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_form(tmp_path / "none.csv", PETS)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, unique=True),
    st.randoms(use_true_random=False),
)
def test_any_ids_come_back_with_their_own_prediction(ids, random):
    form = Form(("id", "label"), tuple(ids), "label", ("a, b", 'c"d'), labels=("a, b", 'c"d'))
    wanted = {name: random.randrange(2) for name in ids}
    shuffled = random.sample(ids, len(ids))
    data = render(form, shuffled, np.array([wanted[name] for name in shuffled]), None)
    back = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    assert back == [[name, form.labels[wanted[name]]] for name in ids]


def test_probabilities_survive_as_float32():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(4, 0.05), 2000).astype(np.float32)
    ids = [f"{i:04d}" for i in range(2000)]
    form = Form(("id", *"abcd"), tuple(ids), "probs", tuple("abcd"), column_of=(0, 1, 2, 3))
    table = pd.read_csv(io.BytesIO(render(form, ids, None, probs)), dtype={"id": str})
    assert (table[list("abcd")].to_numpy().astype(np.float32) == probs).all()
    digits = render(form, ids, None, probs).decode().replace("\n", ",").split(",")[5:-1]
    assert (
        max(len(cell.partition("e")[0].replace(".", "").lstrip("0")) for cell in digits if "." in cell) <= 9
    )
