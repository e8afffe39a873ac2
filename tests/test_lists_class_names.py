"""classes.txt beside lists and numbered class folders: which number is which name, or what doesn't fit."""

import re

import pytest

from pipeline.dataset.layouts.class_names import read_class_names
from pipeline.errors import DataError
from tests.competition_files import column, make, read

IMAGES = [f"images/{k}.jpg" for k in range(3)]


def lists(root, labels, names=None):
    rows = "".join(f"{k}.jpg {label}\n" for k, label in enumerate(labels))
    return make(root, *IMAGES, train_txt=rows, **({} if names is None else {"classes_txt": names}))


@pytest.mark.parametrize(
    "names",
    [
        *("1 ant\n2 bee\n3 leaf roller\n", "0 ant\n1 bee\n2 leaf roller\n", "ant\nbee\nleaf roller"),
        *(b"\xef\xbb\xbf1\tant   \r\n2   bee\r\n\r\n3 leaf roller\r\n", "3 leaf roller\n1 ant\n2 bee\n"),
        *("0,ant\n1,bee\n2,leaf roller", "1: ant\n2: bee\n3: leaf roller", "01 ant\n02 bee\n03 leaf roller"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_labels_and_names_may_count_from_0_or_from_1(tmp_path, names, first):
    table = read(lists(tmp_path, [first + 2, first, first + 1], names))
    assert column(table, "label") == ["leaf roller", "ant", "bee"]
    assert table.classes == ["ant", "bee", "leaf roller"]
    assert table.codes == [str(first + k) for k in range(3)]
    assert ("labels count from 1" in table.found) == (first == 1)


def test_without_names_labels_are_text_in_natural_order(tmp_path):
    table = read(lists(tmp_path, ["10", "9", "x"]))
    assert table.classes == table.codes == ["9", "10", "x"]


def test_labels_that_are_names_themselves_come_in_the_file_s_order(tmp_path):
    table = read(lists(tmp_path, ["bee", "ant", "bee"], "wasp\nbee\nant\n"))
    assert table.classes == table.codes == ["bee", "ant"]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1, 3], "a\nb\nc", r"train\.txt, line 3: 2\.jpg 3: the label '3' is no name in .* from 0 to 2"),
        ([1, 4, 3], "a\nb\nc", r"train\.txt, line 2: 1\.jpg 4: .* no number from 1 to 3 of its 3 names"),
        (["0", "1", "2.0"], "a\nb\nc", r"line 3: 2\.jpg 2\.0: the label '2\.0' is no name"),
        (["0", "-1", "2"], "a\nb\nc", r"line 2: 1\.jpg -1: the label '-1' is no name"),
        (["a", "b", "wasp"], "a\nb\nc", r"line 3: 2\.jpg wasp: the label 'wasp' is no name"),
        ([0, 1, 1], "1 a\n2 b\n3 c", r"has 3 names, the lists use 2 labels: no image has the label 2 \(c\)"),
        ([1, 2, 2], "1 a\n2 b\n3 c", r"no image has the label 3 \(c\)"),
        ([0, 1, 2], "1 a\n2 b\n4 c", r"classes\.txt, line 3: number 4 where 3 was due: the 3 classes"),
        ([0, 1, 2], "1 a\n1 b\n2 c", r"classes\.txt, line 2: number 1 where 2 was due"),
        ([0, 1, 2], "5 a\n6 b\n7 c", r"classes\.txt, line 1: number 5 where 1 was due"),
        ([0, 1, 2], "1 a\nb\n3 c", r"classes\.txt, line 2: no number and name"),
        ([0, 1, 2], "1\n2\n3", r"classes\.txt holds numbers without names"),
        ([0, 1, 2], " \n", r"classes\.txt is empty"),
        ([0, 1, 2], b"1 a\n2 b\xe9\n3 c", r"classes\.txt, line 2: not UTF-8"),
        ([0, 1, 2], "a\na\na (1)", r"two classes are called 'a \(1\)'"),
    ],
)
def test_names_and_labels_that_do_not_fit(tmp_path, labels, names, message):
    with pytest.raises(DataError, match=message):
        read(lists(tmp_path, labels, names))


def test_102_of_102_counted_from_0_is_refused_with_its_line(tmp_path):
    names = "".join(f"{k + 1} pest {k}\n" for k in range(102))
    make(tmp_path, *(f"images/{k}.jpg" for k in range(103)), classes_txt=names)
    make(tmp_path, train_txt="".join(f"{k}.jpg {k}\n" for k in range(103)))
    with pytest.raises(
        DataError, match=r"line 103: 102\.jpg 102: the label '102' is no name in .* 0 to 101 of"
    ):
        read(tmp_path)
    make(tmp_path, train_txt="".join(f"{k}.jpg {k}\n" for k in range(1, 103)))
    assert read(tmp_path).classes[101] == "pest 101"


def test_a_name_that_stands_twice_gets_its_number(tmp_path):
    root = make(tmp_path, classes_txt="1 ant\n2 bee\n3 ant\n")
    assert read_class_names(root / "classes.txt") == ["ant (1)", "bee", "ant (3)"]


MIRROR = [
    f"classification/{split}/{k}/{split}{k}.jpg" for split in ("train", "val", "test") for k in range(11)
]


@pytest.mark.parametrize("place", ["", "classification"])
def test_class_folders_that_are_numbers_get_their_names(tmp_path, place):
    make(tmp_path, *MIRROR, **{f"{split}_txt": f"{split}.jpg 0\n" for split in ("train", "val", "test")})
    make(tmp_path / place, classes_txt="".join(f"{k + 1} pest {k}\n" for k in range(11)))
    table = read(tmp_path)
    assert (table.layout, table.classes) == ("folders", [f"pest {k}" for k in range(11)])
    assert table.codes == [str(k) for k in range(11)]
    assert (
        dict(zip(column(table, "path"), column(table, "label"), strict=True))[
            "classification/val/10/val10.jpg"
        ]
        == "pest 10"
    )
    assert column(table, "label", "test") == table.classes
    assert "; train.txt isn't used: its names are no files of one folder" in table.found


def test_folders_counted_from_1_and_an_empty_one(tmp_path):
    table = read(make(tmp_path, "1/a.jpg", "2/b.jpg", "3/c.jpg", classes_txt="0 ant\n1 bee\n2 wasp\n"))
    assert (table.classes, table.codes) == (["ant", "bee", "wasp"], ["1", "2", "3"])
    (tmp_path / "3" / "c.jpg").unlink()
    table = read(tmp_path)
    assert (table.classes, table.codes) == (["ant", "bee"], ["1", "2"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("ant\nbee\n", "classes.txt isn't used: 2 names, 3 class folders 1 … 3"),
        ("1\n2\n3\n", "no class names: .*holds numbers without names"),
    ],
)
def test_names_that_do_not_fit_folders_are_left_alone_and_said(tmp_path, names, said):
    table = read(make(tmp_path, "1/a.jpg", "2/b.jpg", "3/c.jpg", classes_txt=names))
    assert table.classes == table.codes == ["1", "2", "3"]
    assert re.search(said, table.found)


def test_class_folders_with_names_keep_them(tmp_path):
    table = read(make(tmp_path, "bee/a.jpg", "ant/b.jpg", classes_txt="bee\nant\n"))
    assert (table.classes, table.found) == (["ant", "bee"], "folders: 2 train, 0 test, 2 classes")


@pytest.mark.parametrize("bees", [1, 3])
def test_lists_and_folders_in_one_root_are_told_apart_by_what_is_there(tmp_path, bees):
    names = {f"{k}.jpg": "bee" if k <= bees else "ant" for k in range(5)}
    make(tmp_path, *(f"{label}/{name}" for name, label in names.items()))
    make(tmp_path, train_txt="".join(f"{name} {label == 'ant':d}\n" for name, label in names.items()))
    assert read(tmp_path).layout == "folders"
    make(tmp_path, *(f"images/{name}" for name in names))
    assert read(tmp_path).layout == "lists"
    assert read(tmp_path, layout="folders").classes == ["ant", "bee", "images"]


def test_a_text_that_is_no_list_is_no_layout(tmp_path):
    make(tmp_path, "ant/0.jpg", "bee/1.jpg", train_txt="epoch 1\nloss 0.5\n\xff")
    assert read(tmp_path).layout == "folders"
