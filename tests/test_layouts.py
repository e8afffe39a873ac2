"""Layouts: what is found in a folder, in which order, and what is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.dataset.image_files import natural_key
from pipeline.dataset.image_files import escape_name, unescape_name
from pipeline.dataset.layouts import Table, read_table
from pipeline.errors import DataError


def make(root: Path, *names: str, **texts: str | bytes) -> Path:
    """Put empty files and text files under the root; `train_csv="…"` becomes train.csv."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in texts.items():
        data = text.encode() if isinstance(text, str) else text
        (root / name.replace("_csv", ".csv")).write_bytes(data)
    return root


def read(root: Path, **fields: str) -> Table:
    return read_table(config.Data(name="x", **fields), root)  # type: ignore[arg-type]


def column(table: Table, name: str, split: str = "train") -> list[str]:
    return table.frame.loc[table.frame["split"] == split, name].tolist()


def test_one_level_of_class_folders(tmp_path):
    table = read(make(tmp_path, "bee/2.JPG", "bee/10.png", "ant/1.webp", "bee/Thumbs.db", "bee/notes.txt"))
    assert column(table, "id") == column(table, "path") == ["ant/1.webp", "bee/2.JPG", "bee/10.png"]
    assert column(table, "label") == ["ant", "bee", "bee"]
    assert (table.classes, table.layout, table.sample_submission) == (["ant", "bee"], "folders", None)
    assert table.found == "folders: 3 train, 0 test, 2 classes"


def test_numeric_class_folders_sort_as_numbers(tmp_path):
    table = read(make(tmp_path, *(f"{k}/{k}.jpg" for k in range(102))))
    assert table.classes == [str(k) for k in range(102)]
    assert column(table, "label") == table.classes


@pytest.mark.parametrize("wrapper", ["", "classification/", "deep/classification/"])
def test_split_folders_with_labelled_test(tmp_path, wrapper):
    names = [f"{wrapper}{split}/{k}/{split}{k}.jpg" for split in ("train", "val", "test") for k in (0, 1, 10)]
    table = read(make(tmp_path, *names, "classes_txt", "detection/voc/images/7.jpg"))
    assert column(table, "label") == ["0", "0", "1", "1", "10", "10"]
    assert column(table, "id")[:2] == [f"{wrapper}train/0/train0.jpg", f"{wrapper}val/0/val0.jpg"]
    assert column(table, "label", "test") == ["", "", ""]
    assert column(table, "id", "test") == [f"{wrapper}test/{k}/test{k}.jpg" for k in (0, 1, 10)]


def test_flat_test_folder_has_file_names_as_ids(tmp_path):
    table = read(make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/10.jpg", "test/9.jpg"))
    assert column(table, "id", "test") == ["9.jpg", "10.jpg"]
    assert column(table, "path", "test") == ["test/9.jpg", "test/10.jpg"]


def test_sample_submission_decides_the_test_of_class_folders(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/1.jpg", "test/2.jpg", "test/3.jpg")
    table = read(make(tmp_path, sample_submission_csv="file,species\n3,ant\n1,ant\n"))
    assert column(table, "id", "test") == ["3", "1"]
    assert column(table, "path", "test") == ["test/3.jpg", "test/1.jpg"]
    assert table.sample_submission == tmp_path / "sample_submission.csv"


def test_hidden_folders_and_empty_classes_are_no_classes(tmp_path):
    make(tmp_path, "ant/a.jpg", "bee/b.jpg", ".cache/c.jpg", ".ipynb_checkpoints/d.jpg", "__MACOSX/ant/e.jpg")
    (tmp_path / "cricket").mkdir()
    table = read(make(tmp_path, "sheet.png", "ant/.hidden.jpg"))
    assert table.classes == ["ant", "bee"]
    assert "images outside the class folders: 1" in table.found
    assert "folders without images: 1 (cricket)" in table.found
    assert len(table.frame) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ant/a.jpg"], "at least two classes"),
        (["train/a.jpg", "val/b.jpg"], "have no labels"),
        (["ant/a.jpg", "bee/more/b.jpg"], "lies deeper than its class folder 'bee'"),
        (["readme.txt"], r"(?s)holds 0 images.*CLASS/\*\.jpg.*train/CLASS.*train\.csv"),
    ],
)
def test_folders_that_are_no_competition(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        read(make(tmp_path, *names))


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere isn't there.*data\.root"):
        read(tmp_path / "nowhere")


ODD_IDS = ["007", "1e5", "NA", "1.0", "a b", "ünï"]


@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_table_keeps_ids_as_text_and_in_order(tmp_path, suffix):
    make(tmp_path, *(f"train/{name}.jpg" for name in ODD_IDS), "test/NA.jpg", "test/2.jpg")
    rows = "".join(f"{name}{suffix},{'ant' if i % 2 else 'bee'}\n" for i, name in enumerate(ODD_IDS))
    table = read(
        make(tmp_path, train_csv="id,label\n" + rows, sample_submission_csv=f"id,label\nNA{suffix},ant\n")
    )
    assert column(table, "id") == [name + suffix for name in ODD_IDS]
    assert column(table, "path") == [f"train/{name}.jpg" for name in ODD_IDS]
    assert column(table, "path", "test") == ["test/NA.jpg"]
    assert table.found == "table: 6 train, 1 test, 2 classes (train.csv: id, label); images in no table: 1"


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfid,label\r\n1,ant\r\n2,bee\r\n",
        b"id;label\n1;ant\n2;bee\n",
        b"\nid\tlabel\n1\tant\n\n2\tbee",
        b'"id","label"\n"1","ant"\n"2","bee"\n',
    ],
)
def test_table_dialects(tmp_path, text):
    table = read(make(tmp_path, "images/1.jpg", "images/2.jpg", train_csv=text))
    assert column(table, "id") == ["1", "2"]
    assert column(table, "label") == ["ant", "bee"]


@pytest.mark.parametrize("folder", ["train", "images", "train_images", "images/train", "Train", "."])
def test_table_finds_its_images(tmp_path, folder):
    make(tmp_path, f"{folder}/1.jpg", f"{folder}/2.png", train_csv="image_id,class\n1,ant\n2,bee\n")
    paths = column(read(tmp_path), "path")
    assert [Path(path).as_posix() for path in paths] == [
        Path(f"{folder}/{n}").as_posix() for n in ("1.jpg", "2.png")
    ]


def test_train_and_test_may_share_ids_but_not_images(tmp_path):
    make(tmp_path, "train/1.jpg", "test/1.jpg", "test/2.jpg", "masks/1.jpg")
    make(tmp_path, train_csv="id,label\n1,ant\n2,bee\n", test_csv="id\n2\n1\n")
    table = read(tmp_path)
    assert column(table, "path") == ["train/1.jpg", ""]
    assert column(table, "expected") == ["", "2 or 2.jpg, .png …"]
    assert column(table, "path", "test") == ["test/2.jpg", "test/1.jpg"]


def test_the_deepest_folder_says_whose_images_it_holds(tmp_path):
    make(
        tmp_path,
        "test-data/train/1.jpg",
        "test-data/train/2.jpg",
        "test-data/test/1.jpg",
        "test-data/test/3.jpg",
    )
    make(tmp_path, train_csv="id,label\n1,ant\n2,bee\n")
    table = read(tmp_path)
    assert column(table, "path") == ["test-data/train/1.jpg", "test-data/train/2.jpg"]
    assert column(table, "id", "test") == ["1", "3"]
    make(tmp_path, sample_submission_csv="id,label\n3,ant\n2,ant\n")
    assert column(read(tmp_path), "path", "test") == ["test-data/test/3.jpg", ""]


def test_ids_that_are_paths_and_files_without_suffix(tmp_path):
    make(
        tmp_path,
        "data/ant/1.jpg",
        "data/bee/1.jpg",
        "data/raw",
        train_csv="path,y\nant/1.jpg,0\nbee/1,1\nraw,1\n",
    )
    assert column(read(tmp_path), "path") == ["data/ant/1.jpg", "data/bee/1.jpg", "data/raw"]


def test_an_unclear_id_names_both_files(tmp_path):
    make(tmp_path, "train/1.jpg", "train/1.png", "train/2.jpg", train_csv="id,label\n1,ant\n2,bee\n")
    with pytest.raises(DataError, match=r"id '1' could be 'train/1.jpg' or 'train/1.png'"):
        read(tmp_path)


def test_columns_found_out_and_configured(tmp_path):
    make(tmp_path, "train/1.jpg", "train/2.jpg")
    make(tmp_path, train_csv="plant,nest,bug,x\np1,n1,ant,1\np1,n2,bee,2\n")
    with pytest.raises(DataError, match=r"Set data\.id_column to one of plant, nest, bug, x"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"Set data\.label_column to one of plant, nest, bug"):
        read(tmp_path, id_column="x")
    table = read(tmp_path, id_column="x", label_column="bug", group_column="plant")
    assert column(table, "group") == ["p1", "p1"]
    with pytest.raises(
        DataError, match=r"no column 'bugs' \(data\.label_column\): it has plant, nest, bug, x"
    ):
        read(tmp_path, id_column="x", label_column="bugs")
    make(tmp_path, sample_submission_csv="x,bug\n")
    assert read(tmp_path).classes == ["ant", "bee"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1,ant\n2\n", r"line 3: 2: 1 values, the header has 2 \(id, label\)"),
        ("id,label\n1,ant\nid,label\n", "line 3: the header stands there again"),
        ("id,id\n1,ant\n", "two columns are called 'id'"),
        (
            "id,label\n1,ant\n2,bee\n1,ant\n",
            r"(?s)id '1' has two rows:.*line 2: 1,ant.*line 4: 1,ant.*Remove one",
        ),
        ("id,label\n1,ant\n1,bee\n", r"(?s)line 2: 1,ant.*line 3: 1,bee.*multi-label, boxes, masks"),
        ("id,label\n1,ant\n2, \n", "line 3: 2, : the label is blank"),
        ("id,label\n1,ant\n,bee\n", "line 3: ,bee: the id is blank"),
        ("id,label\n1,3\n2,3.0\n", r"(?s)'3' and '3\.0' look like one label.*line 2.*line 3"),
        ('id,label\n1,"ant\n', "no valid CSV"),
        ("", "is empty"),
        (b"id,label\n1,ant\n2,b\xe9\n", "line 3: not UTF-8"),
        ("id,label\n1,ant\n2,ant\n", "at least two classes"),
        ("id,label\n../x/1,ant\n2,bee\n", r"'\.\./x/1' leads out of the data folder"),
        ("id,label\n/etc/passwd,ant\n2,bee\n", "'/etc/passwd' leads out"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    make(tmp_path, "train/1.jpg", "train/2.jpg", train_csv=text)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path)
    assert caught.value.exit_code == 3


def test_links_stay_inside_the_root(tmp_path):
    root = make(tmp_path / "root", "ant/a.jpg", "bee/b.jpg")
    (root / "cricket").symlink_to("ant")
    (root / "ant" / "again").symlink_to("..")
    assert read(root).classes == ["ant", "bee", "cricket"]
    make(tmp_path, "secret/s.jpg")
    (root / "bee" / "out.jpg").symlink_to("../../secret/s.jpg")
    with pytest.raises(DataError, match=r"out\.jpg is a link out of the data folder"):
        read(root)


def test_a_root_may_be_a_link(tmp_path):
    make(tmp_path / "real", "ant/a.jpg", "bee/b.jpg")
    (tmp_path / "root").symlink_to("real")
    assert len(read(tmp_path / "root").frame) == 2


def test_a_pipe_is_refused_and_never_opened(tmp_path):
    make(tmp_path, "ant/a.jpg", "bee/b.jpg")
    os.mkfifo(tmp_path / "bee" / "c.jpg")
    with pytest.raises(DataError, match=r"c\.jpg is no regular file"):
        read(tmp_path)


def test_file_names_that_are_no_text(tmp_path):
    folder = os.fsencode(make(tmp_path, "ant/a.jpg", "bee/b.jpg") / "bee")
    name = b"caf\xe9 \\x41,\n\xf0\x9f\x90\x9d.jpg"
    os.close(os.open(folder + b"/" + name, os.O_CREAT))
    path = column(read(tmp_path), "path")[-1]
    path.encode("utf-8")
    assert os.fsencode(unescape_name(path)) == b"bee/" + name
    assert (tmp_path / unescape_name(path)).exists()


@given(st.binary(max_size=30))
def test_escaping_is_reversible(name):
    text = os.fsdecode(name)
    assert unescape_name(escape_name(text)) == text
    escape_name(text).encode("utf-8")


@given(st.lists(st.text(alphabet="ab019 .", max_size=6)))
def test_natural_order_is_total(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)
    numbers = [name for name in names if name.isdigit()]
    assert [int(name) for name in sorted(numbers, key=natural_key)] == sorted(map(int, numbers))


def test_the_order_does_not_depend_on_the_disk(tmp_path):
    names = [f"{label}/{k}.jpg" for label in ("b", "a") for k in (10, 9, 1)]
    one, other = make(tmp_path / "one", *names), make(tmp_path / "other", *reversed(names))
    assert read(one).frame.equals(read(other).frame)
