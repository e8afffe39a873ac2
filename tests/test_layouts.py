"""Layouts: what is found in a folder, in which order, and what is refused; folders of classes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.layouts.image_files import by_folder, escape_name, natural_key, unescape_name
from pipeline.errors import DataError
from tests.competition_files import column, make, read


def test_one_level_of_class_folders(tmp_path):
    table = read(make(tmp_path, "bee/2.JPG", "bee/10.png", "ant/1.webp", "bee/Thumbs.db", "bee/notes.txt"))
    assert column(table, "id") == column(table, "path") == ["ant/1.webp", "bee/2.JPG", "bee/10.png"]
    assert column(table, "label") == ["ant", "bee", "bee"]
    assert (table.classes, table.layout, table.sample_submission) == (["ant", "bee"], "folders", None)
    assert table.found == "folders: 3 train, 0 test, 2 classes"
    assert table.codes == table.classes


def test_numeric_class_folders_sort_as_numbers(tmp_path):
    table = read(make(tmp_path, *(f"{k}/{k}.jpg" for k in range(102))))
    assert table.classes == [str(k) for k in range(102)]
    assert column(table, "label") == table.classes


SPLITS = [f"{split}/{k}/{split}{k}.jpg" for split in ("train", "val", "test") for k in (0, 1, 10)]


@pytest.mark.parametrize("wrapper", ["", "classification/", "deep/classification/"])
def test_split_folders_with_labelled_test(tmp_path, wrapper):
    table = read(make(tmp_path, *(wrapper + name for name in SPLITS), "detection/voc/images/7.jpg"))
    assert column(table, "label") == ["0", "0", "1", "1", "10", "10"]
    assert column(table, "id")[:2] == [f"{wrapper}train/0/train0.jpg", f"{wrapper}val/0/val0.jpg"]
    assert column(table, "label", "test") == ["0", "1", "10"]
    assert column(table, "id", "test") == [f"{wrapper}test/{k}/test{k}.jpg" for k in (0, 1, 10)]
    assert table.found == (
        "folders: 3 train, 3 val, 3 test, 3 classes; images outside the class folders: 1; val joins train"
    )


def test_an_official_val_split_can_be_held_out(tmp_path):
    table = read(make(tmp_path, *SPLITS), use_val="holdout")
    assert table.frame["split"].tolist() == ["train"] * 3 + ["val"] * 3 + ["test"] * 3
    assert column(table, "label", "val") == ["0", "1", "10"]
    assert table.found == "folders: 3 train, 3 val, 3 test, 3 classes; val is held out"


def test_a_class_of_val_alone_joins_train_but_cant_be_held_out(tmp_path):
    make(tmp_path, *SPLITS, "val/7/v.jpg")
    assert read(tmp_path).classes == ["0", "1", "7", "10"]
    with pytest.raises(DataError, match=r"'val/7/v\.jpg' \(val\) has the label '7', which no training image"):
        read(tmp_path, use_val="holdout")


def test_folders_of_test_that_are_some_classes_must_all_be(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/ant/1.jpg", "test/wasp/2.jpg")
    with pytest.raises(DataError, match=r"test/wasp: no training image has the class 'wasp'"):
        read(tmp_path)


def test_folders_of_test_that_are_no_class_say_no_labels(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/images/1.jpg")
    table = read(tmp_path)
    assert (column(table, "id", "test"), column(table, "label", "test")) == (["test/images/1.jpg"], [""])
    assert table.found == "folders: 2 train, 1 test, 2 classes"
    assert "the folders of test are no classes" in read(make(tmp_path, "test/more/2.jpg")).found


def test_one_folder_of_test_images_is_no_label(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/ant/1.jpg", "test/ant/2.jpg")
    assert column(read(tmp_path), "label", "test") == ["", ""]


def test_flat_test_folder_has_file_names_as_ids(tmp_path):
    table = read(make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/10.jpg", "test/9.jpg"))
    assert column(table, "id", "test") == ["9.jpg", "10.jpg"]
    assert column(table, "path", "test") == ["test/9.jpg", "test/10.jpg"]
    with pytest.raises(DataError, match=r"'Testing/9.jpg' \(test\) and 'test/9.jpg' \(test\) are one id, '9"):
        read(make(tmp_path, "Testing/9.jpg"))


def test_sample_submission_decides_the_test_of_class_folders(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/1.jpg", "test/ant/2.jpg", "test/bee/3.jpg")
    table = read(make(tmp_path, sample_submission_csv="file,species\n3,ant\n4,ant\n1,ant\n"))
    assert column(table, "id", "test") == ["3", "4", "1"]
    assert column(table, "path", "test") == ["test/bee/3.jpg", "", "test/1.jpg"]
    assert column(table, "label", "test") == ["bee", "", ""]
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
        (["readme.txt"], r"(?s)holds 0 images.*CLASS/\*\.jpg.*train/CLASS.*train\.txt.*train\.csv"),
    ],
)
def test_folders_that_are_no_competition(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        read(make(tmp_path, *names))


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere isn't there.*data\.root"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("key", ["id_column", "label_column", "group_column", "time_column"])
@pytest.mark.parametrize("files", [{}, {"train_txt": "ant/a.jpg 0\nbee/b.jpg 1\n"}])
def test_columns_need_a_train_csv(tmp_path, key, files):
    make(tmp_path, "ant/a.jpg", "bee/b.jpg", **files)
    with pytest.raises(DataError, match=rf"data\.{key} = 'plant' names a column of train\.csv"):
        read(tmp_path, **{key: "plant"})


def test_the_id_column_may_be_the_sample_s(tmp_path):
    make(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", "test/1.jpg")
    make(tmp_path, sample_submission_csv="label,picture\nant,1\n")
    assert column(read(tmp_path, id_column="picture"), "id", "test") == ["1"]


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


@given(
    st.lists(st.text(alphabet="a01 ", min_size=1, max_size=3), max_size=8),
    st.sampled_from(["", "1/", "a 1/"]),
)
def test_the_quick_natural_order_is_the_same(names, folder):
    paths = [f"{place}/{name}" for name in names for place in ("a", "a1", "a 1")]
    paths += [folder + name for name in names] if folder else []
    held = by_folder(paths)
    assert [path for folder in held for path in held[folder]] == sorted(paths, key=natural_key)


def test_the_order_does_not_depend_on_the_disk(tmp_path):
    names = [f"{label}/{k}.jpg" for label in ("b", "a") for k in (10, 9, 1)]
    one, other = make(tmp_path / "one", *names), make(tmp_path / "other", *reversed(names))
    assert read(one).frame.equals(read(other).frame)
