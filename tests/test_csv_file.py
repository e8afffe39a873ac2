"""Tables of the user's: what is tolerated, and which line is named for what isn't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.layouts import csv_file
from pipeline.errors import DataError


@pytest.fixture
def write(tmp_path):
    def writer(text: str | bytes, name: str = "train.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return writer


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_are_quoted_as_they_stand_in_the_file(write, delimiter):
    text = 'id,label\n007,ant\n"a,b\nc",bee\n1e5,NA\n'.replace(",", delimiter)
    found = csv_file.read(write(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()))
    assert (found.columns, found.values("label")) == (["id", "label"], ["ant", "bee", "NA"])
    assert found.values("id") == ["007", f"a{delimiter}b\r\nc", "1e5"]
    assert found.lines == [2, 4, 5]
    assert found.row_text(2) == f"line 5: 1e5{delimiter}NA"


def test_columns_are_read_from_files_of_any_sort(write):
    assert csv_file.read_columns(write(b"\n id ;place\n1;K\xf6ln;x\n")) == ["id", "place"]
    assert csv_file.read_columns(write("")) == []
    with pytest.raises(DataError, match=r"can't read .*none\.csv: No such file"):
        csv_file.read_columns(write("").with_name("none.csv"))


def test_one_label_in_two_files_must_be_written_in_one_way(write):
    train, val = csv_file.read(write("y\n1\n2\n")), csv_file.read(write("y\n2\n01\n", "val.csv"))
    csv_file.check_labels("y", train)
    with pytest.raises(
        DataError, match=r"(?s)'1' and '01' look.*train\.csv, line 2: 1.*val\.csv, line 3: 01"
    ):
        csv_file.check_labels("y", train, val)


def test_labels_must_be_known_where_there_are_any(write):
    found = csv_file.read(write("id,y\n1,ant\n2,\n3,nan\n4,wasp\n"))
    csv_file.check_known(found, "y", {"ant", "wasp"})
    with pytest.raises(DataError, match=r"line 5: 4,wasp: no training image has the y 'wasp'; the 1 classes"):
        csv_file.check_known(found, "y", ["ant"])


def test_blank_values_are_named_with_their_line(write):
    found = csv_file.read(write("id,day\n1,x\n\n2, \n"))
    csv_file.check_filled(found, "id")
    with pytest.raises(DataError, match=r"line 4: 2, : the day is blank"):
        csv_file.check_filled(found, "day")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(rows=st.lists(st.tuples(TEXT.filter(str.strip), TEXT), min_size=1, unique_by=lambda row: row[0]))
def test_any_text_comes_back_as_it_was(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_bytes(csv_file.csv_text(["id", "label"], rows).encode())
    found = csv_file.read(path)
    assert [tuple(row) for row in found.rows] == rows
    csv_file.check_ids(found, "id", "label")
