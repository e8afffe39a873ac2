"""The layout `lists`: IP102's own, where its images lie, what its lines may hold, and what is refused."""

import os

import pytest

from pipeline.dataset.layouts.image_files import unescape_name
from pipeline.errors import DataError
from tests.competition_files import column, make, read

IMAGES = [f"images/{k}.jpg" for k in range(6)]
LISTS = {"train_txt": "0.jpg 0\n1.jpg 1\n", "val_txt": "2.jpg 1\n3.jpg 0\n", "test_txt": "5.jpg 1\n4.jpg 0\n"}
NAMES = "1 rice leaf roller\n2 Cicadellidae\n"


def test_lists_keep_their_order_and_classes_their_names(tmp_path):
    table = read(make(tmp_path, *IMAGES, **LISTS, classes_txt=NAMES))
    assert column(table, "id") == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert column(table, "path")[3] == "images/3.jpg"
    assert column(table, "label") == ["rice leaf roller", "Cicadellidae", "Cicadellidae", "rice leaf roller"]
    assert (table.classes, table.codes) == (["rice leaf roller", "Cicadellidae"], ["0", "1"])
    assert column(table, "id", "test") == ["5.jpg", "4.jpg"]
    assert column(table, "label", "test") == ["Cicadellidae", "rice leaf roller"]
    assert table.found == "lists: 2 train, 2 val, 2 test, 2 classes; val joins train"


def test_held_out_val_and_unused_images(tmp_path):
    table = read(make(tmp_path, *IMAGES, "images/9.jpg", **LISTS), use_val="holdout")
    assert table.frame["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    assert (table.classes, column(table, "label", "val")) == (["0", "1"], ["1", "0"])
    assert table.found == "lists: 2 train, 2 val, 2 test, 2 classes; images in no list: 1; val is held out"


def test_ip102_is_called_by_its_name(tmp_path):
    sizes = {"train": 45_095, "val": 7_508, "test": 22_619}
    folder, first = make(tmp_path / "ip102_v1.1", "images/x"), 0
    for split, size in sizes.items():
        rows = "".join(f"{k:05d}.jpg {k % 102}\n" for k in range(first, first + size))
        make(folder, **{f"{split}_txt": rows})
        first += size
    make(folder, classes_txt="".join(f"{k + 1} pest {k}\n" for k in range(102)))
    table = read(tmp_path)
    begin = "IP102 v1.1 lists: 45,095 train, 7,508 val, 22,619 test, 102 classes; val joins train"
    assert table.found == begin
    assert table.classes == [f"pest {k}" for k in range(102)]
    assert table.frame["expected"].iloc[2] == "ip102_v1.1/images/00002.jpg"
    assert (table.frame["path"] == "").all()
    make(folder, train_txt="00000.jpg 0\n00001.jpg 1\n")
    (folder / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt, line 1: .*no training image has the label"):
        read(tmp_path, use_val="holdout")


@pytest.mark.parametrize("base", ["", "images", "JPEGImages", "ip102/images", "data/train", "all files"])
def test_images_are_found_near_their_lists(tmp_path, base):
    names = [os.path.join(base, f"{k}.jpg") for k in range(3)]  # noqa: PTH118
    table = read(make(tmp_path, *names, "masks/1.jpg", train_txt="./0.jpg 0\n1.jpg 1\n2.jpg 1\n"))
    assert (column(table, "path"), column(table, "id")) == (names, ["0.jpg", "1.jpg", "2.jpg"])


def test_lists_with_folders_in_their_names_and_folders_by_split(tmp_path):
    make(tmp_path, "ant/1.jpg", "bee/1.jpg", train_txt="ant/1.jpg ant\nbee/1.jpg bee\n")
    assert read(tmp_path).layout == "lists"
    assert column(read(tmp_path), "id") == ["ant/1.jpg", "bee/1.jpg"]
    root = make(
        tmp_path / "split", *(f"{split}/{k}.jpg" for split in ("train", "val", "test") for k in (0, 1))
    )
    table = read(make(root, **{f"{split}_txt": "0.jpg 0\n1.jpg 1\n" for split in ("train", "val", "test")}))
    assert column(table, "id") == ["0.jpg", "1.jpg", "val/0.jpg", "val/1.jpg"]
    assert column(table, "path", "test") == ["test/0.jpg", "test/1.jpg"]


def test_lists_may_lie_in_a_folder_beside_the_images(tmp_path):
    make(make(tmp_path, *IMAGES) / "meta", **LISTS)
    assert column(read(tmp_path), "path") == IMAGES[:4]


def test_two_folders_with_the_same_images_are_told(tmp_path):
    make(tmp_path, "small/0.jpg", "small/1.jpg", "large/0.jpg", "large/1.jpg", train_txt="0.jpg 0\n1.jpg 1\n")
    with pytest.raises(DataError, match=r"could be those in large or in small: remove one"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_ids_stay_text_with_and_without_suffix(tmp_path, suffix):
    ids = [f"{name}{suffix}" for name in ("007", "1e5", "NA", "1.0", "a b", "ünï")]
    rows = "".join(f"{name} {i % 2}\n" for i, name in enumerate(ids))
    table = read(make(tmp_path, *(f"images/{name}.jpg" for name in ("007", "1e5", "NA", "1.0", "a b", "ünï")),
                      train_txt=rows))  # fmt: skip
    assert column(table, "id") == ids
    assert column(table, "path")[0] == "images/007.jpg"
    assert column(table, "expected") == [""] * 6


def test_a_name_without_suffix_must_mean_one_image(tmp_path):
    make(tmp_path, "images/0.jpg", "images/0.png", "images/1.jpg", train_txt="0 0\n1 1\n")
    with pytest.raises(DataError, match=r"train\.txt, line 1: 0 0: several images have that name"):
        read(tmp_path)


def test_a_test_list_may_have_no_labels_and_names_may_hold_spaces(tmp_path):
    make(tmp_path, *IMAGES, "images/my bee.jpg", "images/your bee 2.jpg", **LISTS)
    table = read(make(tmp_path, train_txt="0.jpg 0\nmy bee.jpg   1\n", test_txt="4.jpg\nyour bee 2.jpg\n"))
    assert column(table, "path")[1] == "images/my bee.jpg"
    assert column(table, "id", "test") == ["4.jpg", "your bee 2.jpg"]
    assert column(table, "label", "test") == ["", ""]
    assert column(read(make(tmp_path, test_txt="")), "id", "test") == []


@pytest.mark.parametrize("label", ["0", "-1"])
def test_a_test_list_that_is_only_filled_up_has_no_labels(tmp_path, label):
    make(tmp_path, *IMAGES, **{**LISTS, "test_txt": f"4.jpg {label}\n5.jpg {label}\n"}, classes_txt=NAMES)
    assert column(read(tmp_path), "label", "test") == ["", ""]


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf0.jpg 0\r\n1.jpg 1\r\n", b"\n0.jpg\t0\n\n1.jpg  \t 1", b"0.jpg 0 \n1.jpg 1\t\n"]
)
def test_dialects(tmp_path, text):
    table = read(make(tmp_path, *IMAGES, train_txt=text))
    assert (column(table, "id"), column(table, "label")) == (["0.jpg", "1.jpg"], ["0", "1"])


def test_file_names_that_are_no_text(tmp_path):
    names = [b"caf\xe9 \\x41,'\"\xf0\x9f\x90\x9d.jpg", b"\x1b[31mred\x85\xc2\xa0.jpg", b"x" * 251 + b".jpg"]
    folder = os.fsencode(make(tmp_path, "images/0.jpg") / "images")
    for name in names:
        os.close(os.open(folder + b"/" + name, os.O_CREAT))
    table = read(make(tmp_path, train_txt=b"0.jpg 0\n" + b"".join(name + b" 1\n" for name in names)))
    assert [os.fsencode(unescape_name(path)) for path in column(table, "path")[1:]] == [
        b"images/" + name for name in names
    ]
    for text in (*column(table, "id"), *column(table, "path")):
        text.encode()


def test_missing_images_are_listed_with_what_was_looked_for(tmp_path):
    table = read(
        make(tmp_path, "images/0.jpg", "images/1.jpg", train_txt="0.jpg 0\n1.jpg 1\n7.jpg 1\n8.jpg 0\n")
    )
    assert column(table, "path") == ["images/0.jpg", "images/1.jpg", "", ""]
    assert column(table, "expected") == ["", "", "images/7.jpg", "images/8.jpg"]


def test_a_sample_submission_decides_the_test_ids_and_labels_stay(tmp_path):
    make(tmp_path, *IMAGES, **LISTS, classes_txt=NAMES, sample_submission_csv="id,label\n4,0\n5,0\n")
    table = read(tmp_path)
    assert (column(table, "id", "test"), column(table, "path", "test")[0]) == (["4", "5"], "images/4.jpg")
    assert column(table, "label", "test") == ["rice leaf roller", "Cicadellidae"]
    folder = make(tmp_path / "wrapped" / "ip102", *IMAGES, **LISTS, sample_submission_csv="id,label\n4,0\n")
    assert column(read(folder.parent), "id", "test") == ["4"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"train_txt": "0.jpg 0\n1.jpg\n"}, r"train\.txt, line 2: 1\.jpg: no label: a line is NAME LABEL"),
        ({"train_txt": "0.jpg,0\n1.jpg,1\n"}, r"train\.txt, line 1: 0\.jpg,0: no label"),
        ({"train_txt": "0.jpg;0\n1.jpg;1\n"}, r"train\.txt, line 1: 0\.jpg;0: no label"),
        ({"train_txt": ""}, r"train\.txt is empty"),
        ({"train_txt": "0.jpg 0\n1.jpg nan\n"}, r"train\.txt, line 2: 1\.jpg nan: the label is blank"),
        (
            {"train_txt": "0.jpg 3\n1.jpg 3.0\n"},
            r"(?s)'3' and '3\.0' look like one.*line 1: 0\.jpg 3.*line 2",
        ),
        ({"train_txt": "0.jpg 0\n1.jpg 1\n0.jpg 0\n"}, r"(?s)has two rows:.*line 1.*line 3.*Remove one"),
        ({"train_txt": "0.jpg 0\n1.jpg 1\n0.jpg 1\n"}, r"(?s)has two rows:.*line 1.*line 3.*multi-label"),
        ({"train_txt": "0.jpg 0\n1.jpg 1 2\n"}, r"line 2: 1\.jpg 1 2: two labels\. Single-label"),
        ({"train_txt": "image label\n0.jpg 0\n1.jpg 1\n"}, r"line 1: image label: names no image.*header"),
        ({"train_txt": "0.jpg 0\n1.jpg 1\nimage label\n"}, r"line 3: image label: names no image"),
        (
            {"test_txt": "4.jpg\n5.jpg 0\n"},
            r"test\.txt, line 1: 4\.jpg: no label, while other lines have one",
        ),
        (
            {"test_txt": "4.jpg 0\n5.jpg 7\n"},
            r"test\.txt, line 2: 5\.jpg 7: no training image has the label '7'",
        ),
        (
            {"val_txt": "0.jpg 0\n"},
            r"(?s)'images/0\.jpg' is listed twice.*train\.txt, line 1: .*val\.txt, line 1",
        ),
        (
            {"test_txt": "1.jpg 0\n"},
            r"(?s)'images/1\.jpg' is listed twice.*line 2: 1\.jpg 1.*test\.txt, line 1",
        ),
        ({"train_txt": "../x/0.jpg 0\n1.jpg 1\n"}, r"train\.txt, line 1: .*leads out of the data folder"),
        ({"train_txt": "0.jpg 0\n/etc/passwd 1\n"}, r"train\.txt, line 2: /etc/passwd 1: this leads out"),
        (
            {"train_txt": "0.jpg 0\n1.jpg 0\n", "val_txt": "2.jpg 0", "test_txt": "4.jpg"},
            "at least two classes",
        ),
    ],
)
def test_lists_that_are_refused(tmp_path, texts, message):
    make(tmp_path, *IMAGES, **{**LISTS, **texts})
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, layout="lists")
    assert caught.value.exit_code == 3


def test_links_out_of_the_root_and_pipes_are_refused(tmp_path):
    root = make(tmp_path / "root", *IMAGES, **LISTS)
    os.mkfifo(root / "val.txt.jpg")
    with pytest.raises(DataError, match=r"val\.txt\.jpg is no regular file"):
        read(root)
    (root / "val.txt.jpg").unlink()
    (root / "test.txt").unlink()
    os.mkfifo(root / "test.txt")  # never opened: a list that isn't a file isn't there
    assert column(read(root), "id", "test") == []
    (root / "images" / "7.jpg").symlink_to(make(tmp_path, "secret.jpg") / "secret.jpg")
    with pytest.raises(DataError, match=r"7\.jpg is a link out of the data folder"):
        read(root)


def test_without_a_list_the_layout_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no train\.txt, which data\.layout = 'lists' needs"):
        read(make(tmp_path, *IMAGES), layout="lists")
