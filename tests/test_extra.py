"""data.extra: more labelled images from other folders, in any layout, checked against the competition."""

import pytest

from pipeline.errors import DataError
from tests.competition_files import column, make, read


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "birds", "train/ant/a.jpg", "train/bee/b.jpg", "test/1.jpg")


def test_extra_rows_stand_behind_train_and_can_be_found(tmp_path, root):
    extra = make(tmp_path / "more", "train/bee/7.jpg", "val/ant/8.jpg", "test/bee/9.jpg", "test/ant/6.jpg")
    other = make(tmp_path / "own", "ant/7.jpg")
    table = read(root, extra=(str(extra), str(other)))
    assert table.frame["split"].tolist() == ["train"] * 2 + ["extra"] * 5 + ["test"]
    assert column(table, "id", "extra") == [
        *("more/val/ant/8.jpg", "more/train/bee/7.jpg", "more/test/ant/6.jpg", "more/test/bee/9.jpg"),
        "own/ant/7.jpg",
    ]
    assert column(table, "label", "extra") == ["ant", "bee", "ant", "bee", "ant"]
    places = [table.roots.place(path) for path in column(table, "path", "extra")]
    assert all((folder / name).exists() for folder, name in places)
    assert places[-1] == (other, "ant/7.jpg")
    assert table.found == "folders: 2 train, 1 test, 5 extra, 2 classes"
    assert table.classes == ["ant", "bee"]


def test_extra_tables_and_lists(tmp_path, root):
    listed = make(
        tmp_path / "listed", "images/1.jpg", "images/2.jpg", "images/3.jpg", classes_txt="1 bee\n2 ant\n"
    )
    make(listed, train_txt="1.jpg 0\n2.jpg 1\n", test_txt="3.jpg\n")
    tabled = make(tmp_path / "tabled", "images/1.jpg", train_csv="id,label,plant\n1,bee,oak\n2,ant,elm\n")
    table = read(root, extra=(str(listed), str(tabled)))
    assert column(table, "id", "extra") == ["listed/1.jpg", "listed/2.jpg", "tabled/1", "tabled/2"]
    assert column(table, "label", "extra") == ["bee", "ant", "bee", "ant"]
    assert column(table, "path", "extra")[2:] == ["2//images/1.jpg", ""]
    assert column(table, "expected", "extra")[3] == f"{tabled}/2 or 2.jpg, .png …"
    assert "; images without a label in data.extra: 1" in table.found


def test_columns_count_in_extra_tables_that_have_them(tmp_path):
    root = make(tmp_path / "birds", "a.jpg", "b.jpg", train_csv="x,bug,plant,day\na,ant,oak,1\nb,bee,elm,2\n")
    one = make(tmp_path / "one", "c.jpg", train_csv="x,bug,plant,day,more\nc,ant,oak,3,?\n")
    two = make(tmp_path / "two", "ant/d.jpg")
    names = {"id_column": "x", "label_column": "bug", "group_column": "plant", "time_column": "day"}
    table = read(root, extra=(str(one), str(two)), **names)
    assert column(table, "group", "extra") == ["oak", ""]
    assert column(table, "time", "extra") == ["3", ""]


def test_a_folder_below_the_root_counts_once(root):
    make(root, "train/extra/ant/c.jpg", "more/ant/d.jpg")
    (root / "link").symlink_to("more")
    table = read(root, extra=(str(root / "train" / "extra"), str(root / "more")))
    assert column(table, "id") == ["train/ant/a.jpg", "train/bee/b.jpg"]
    assert column(table, "path", "extra") == ["1//ant/c.jpg", "2//ant/d.jpg"]


def test_a_link_to_extra_images_may_lead_out_of_the_root(tmp_path, root):
    make(tmp_path / "elsewhere", "ant/d.jpg")
    (root / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"more is a link out of the data folder"):
        read(root)
    assert column(read(root, extra=(str(root / "more"),)), "id", "extra") == ["more/ant/d.jpg"]


def test_folders_that_are_not_there_or_count_twice(tmp_path, root):
    one, two = (make(tmp_path / name / "more", "ant/c.jpg") for name in ("one", "two"))
    file = make(tmp_path, "file.jpg") / "file.jpg"
    for folders, message in (
        ([tmp_path / "nowhere"], r"data\.extra: .*nowhere' is no folder that is there"),
        ([file], r"data\.extra: .*file\.jpg' is no folder"),
        ([""], r"data\.extra: '.' is no folder that is there"),
        ([root], r"data\.extra: .*birds and the data folder .*birds overlap"),
        ([tmp_path], r"data\.extra: .* and the data folder .*birds overlap"),
        ([one, one], r"data\.extra: .*more and data\.extra's .*more overlap"),
        ([one.parent, one], r"data\.extra: .*more and data\.extra's .*one overlap"),
        (
            [one, two],
            r"'1//ant/c\.jpg' \(extra\) and '2//ant/c\.jpg' \(extra\) are one id, 'more/ant/c\.jpg'",
        ),
    ):
        with pytest.raises(DataError, match=message):
            read(root, extra=tuple(map(str, folders)))


def test_an_id_of_train_is_not_given_again(tmp_path):
    root = make(tmp_path / "birds", "more/ant/a.jpg", "more/bee/b.jpg")
    extra = make(tmp_path / "more", "ant/a.jpg")
    with pytest.raises(
        DataError, match=r"'more/ant/a\.jpg' \(train\) and '1//ant/a\.jpg' \(extra\) are one id"
    ):
        read(root, extra=(str(extra),))


def test_unknown_classes_and_folders_without_labels(tmp_path, root):
    wasps = make(tmp_path / "wasps", "ant/c.jpg", "Bee/d.jpg")
    with pytest.raises(
        DataError, match=r"wasps/Bee/d\.jpg is labelled 'Bee', .* the 2 classes are 'ant', 'bee'"
    ):
        read(root, extra=(str(wasps),))
    loose = make(tmp_path / "loose", "1.jpg", "2.jpg")
    with pytest.raises(DataError, match=r"data\.extra: .*loose has no labelled images"):
        read(root, extra=(str(loose),))


def test_numbers_are_no_names_unless_a_classes_txt_says_so(tmp_path):
    root = make(tmp_path / "birds", "0/a.jpg", "1/b.jpg", classes_txt="1 ant\n2 bee\n")
    extra = make(tmp_path / "more", "0/c.jpg", "1/d.jpg")
    with pytest.raises(
        DataError, match=r"labelled '0'.*may mean other classes: rename '0' to the class's name"
    ):
        read(root, extra=(str(extra),))
    make(extra, classes_txt="bee\nant\n")
    assert column(read(root, extra=(str(extra),)), "label", "extra") == ["bee", "ant"]


def test_links_out_of_an_extra_folder_are_refused(tmp_path, root):
    extra = make(tmp_path / "more", "ant/c.jpg")
    (extra / "ant" / "d.jpg").symlink_to(root / "train" / "ant" / "a.jpg")
    with pytest.raises(DataError, match=r"d\.jpg is a link out of the data folder.*data\.extra"):
        read(root, extra=(str(extra),))
