"""The layout `table`: train.csv, val.csv, test.csv and sample_submission.csv, and the images of their ids."""

from pathlib import Path

import pytest

from pipeline import config
from pipeline.dataset.layouts import competition_table
from pipeline.dataset.layouts.image_files import Listing
from pipeline.errors import DataError
from tests.competition_files import column, make, read

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


IMAGES = ("train/1.jpg", "train/2.jpg", "val/3.jpg", "test/4.jpg", "test/5.jpg")
TRAIN = "id,label\n1,ant\n2,bee\n"


def test_val_csv_joins_train_or_is_held_out(tmp_path):
    make(tmp_path, *IMAGES, train_csv=TRAIN, val_csv="id,label\n3,bee\n", test_csv="id\n4\n")
    table = read(tmp_path)
    assert column(table, "id") == ["1", "2", "3"]
    assert column(table, "path")[2] == "val/3.jpg"
    assert table.found == (
        "table: 2 train, 1 val, 1 test, 2 classes (train.csv: id, label); images in no table: 1;"
        " val joins train"
    )
    held = read(tmp_path, use_val="holdout")
    assert (column(held, "id"), column(held, "label", "val")) == (["1", "2"], ["bee"])


def test_val_ids_that_train_has_too_get_a_prefix(tmp_path):
    make(tmp_path, *IMAGES, "val/1.jpg", train_csv=TRAIN, val_csv="id,label\n1,bee\n3,ant\n")
    table = read(tmp_path)
    assert column(table, "id") == ["1", "2", "val/1", "val/3"]
    assert column(table, "path") == ["train/1.jpg", "train/2.jpg", "val/1.jpg", "val/3.jpg"]
    assert column(read(tmp_path, use_val="holdout"), "id", "val") == ["1", "3"]


def test_a_val_csv_without_labels_is_left_alone_and_said(tmp_path):
    make(tmp_path, *IMAGES, train_csv=TRAIN, val_csv="id,text\n3,x\n3\n")
    assert "; val.csv isn't used: it has no column label" in read(tmp_path).found


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("id,label\n3,wasp\n", {"use_val": "holdout"}, r"val\.csv, line 2: 3,wasp: no training image has"),
        (
            "id,label\n3,bee \n",
            {},
            r"(?s)'bee' and 'bee ' look like one.*train\.csv, line 3.*val\.csv, line 2",
        ),
        ("id,label\n3,\n", {}, r"val\.csv, line 2: 3,: the label is blank"),
    ],
)
def test_val_tables_that_are_refused(tmp_path, text, fields, message):
    make(tmp_path, *IMAGES, train_csv=TRAIN, val_csv=text)
    with pytest.raises(DataError, match=message):
        read(tmp_path, **fields)


def test_labels_of_test_csv_are_kept_for_the_official_score(tmp_path):
    make(tmp_path, *IMAGES, train_csv=TRAIN, test_csv="id,label\n4,bee\n5,ant\n")
    assert column(read(tmp_path), "label", "test") == ["bee", "ant"]
    make(tmp_path, sample_submission_csv="id,label\n5,ant\n4,ant\n")
    table = read(tmp_path)
    assert (column(table, "id", "test"), column(table, "label", "test")) == (["5", "4"], ["ant", "bee"])


@pytest.mark.parametrize("cells", [("", ""), ("0", "0"), ("nan", ""), ("ant", "ant")])
def test_a_label_column_of_test_csv_that_is_only_filled_up_says_nothing(tmp_path, cells):
    text = "id,label\n" + "".join(f"{n},{cell}\n" for n, cell in zip((4, 5), cells, strict=True))
    make(tmp_path, *IMAGES, train_csv=TRAIN, test_csv=text)
    assert column(read(tmp_path), "label", "test") == ["", ""]


def test_labels_of_test_csv_must_be_classes(tmp_path):
    make(tmp_path, *IMAGES, train_csv=TRAIN, test_csv="id,label\n4,bee\n5,wasp\n")
    with pytest.raises(DataError, match=r"test\.csv, line 3: 5,wasp: no training image has the label 'wasp'"):
        read(tmp_path)


def test_a_test_csv_without_labels_may_be_ragged_beside_a_sample(tmp_path):
    make(tmp_path, *IMAGES, train_csv=TRAIN, test_csv=b"id,place\n4,K\xf6ln,x\n")
    make(tmp_path, sample_submission_csv="id,label\n4,ant\n")
    assert column(read(tmp_path), "id", "test") == ["4"]


def test_times_stay_text_and_are_never_blank(tmp_path):
    make(tmp_path, *IMAGES, train_csv="id,label,seen\n1,ant,2024-05-01\n2,bee,007\n")
    table = read(tmp_path, time_column="seen")
    assert column(table, "time") == ["2024-05-01", "007"]
    make(tmp_path, train_csv="id,label,seen\n1,ant,2024-05-01\n2,bee, \n")
    with pytest.raises(DataError, match=r"line 3: 2,bee, : the seen is blank"):
        read(tmp_path, time_column="seen")
    with pytest.raises(DataError, match=r"no column 'when' \(data\.time_column\)"):
        read(tmp_path, time_column="when")


def test_many_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    names = [f"{folder}/{place}/7.jpg" for folder in ("a", "b") for place in ("x", "y")]
    rows = "".join(f"{name},{name[0]}\n" for name in [*names[:3], "b/y/7"])
    table = read(make(tmp_path, *names, train_csv="path,label\n" + rows))
    assert column(table, "path") == names
    make(tmp_path, train_csv="path,label\na/x/7.jpg,a\ny/7.jpg,b\n")
    with pytest.raises(DataError, match=r"id 'y/7\.jpg' could be 'a/y/7\.jpg' or 'b/y/7\.jpg'"):
        read(tmp_path)


@pytest.mark.slow
def test_a_million_rows_of_ten_thousand_classes(tmp_path):
    ids = [f"{k:07d}" for k in range(1_000_000)]
    labels = [f"species {k * 7919 % 10_000}" for k in range(len(ids))]
    rows = "".join(f"{name},{label}\n" for name, label in zip(ids, labels, strict=True))
    make(tmp_path, train_csv="id,label\n" + rows)
    listing = Listing([*(f"images/{name}.jpg" for name in ids), "train.csv"], ["images"])
    tables = competition_table.find_tables(listing)
    found, note = competition_table.read_rows(config.Data(name="x"), tmp_path, listing, tables)
    assert [row.id for row in found] == ids
    assert [row.label for row in found] == labels
    assert [row.path for row in found] == listing.files[:-1]
    assert note == " (train.csv: id, label)"
