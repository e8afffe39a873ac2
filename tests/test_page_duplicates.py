"""Duplicates side by side: every kind from the audit table's columns, the largest first, within bounds."""

import numpy as np
import pandas as pd

from pipeline.page.duplicates import NO_COLUMNS, Duplicates, Group, duplicates
from pipeline.page.thumbnails import Album


def table(rows: list[tuple[str, str, str, str, int]], crowd: dict[str, int] | None = None) -> pd.DataFrame:
    """Return an audit table of (id, split, label, sha256, picture)."""
    images = pd.DataFrame(rows, columns=["id", "split", "label", "sha256", "picture"])
    numbers = [(crowd or {}).get(name, -1) for name in images["id"]]
    return images.assign(in_group=images["picture"], crowd=numbers, problem="", target=0)


def found_in(images: pd.DataFrame) -> Duplicates:
    return duplicates(images, Album(images, None, np.full(len(images), -1)))


def names(group: Group) -> list[str]:
    return [picture.id for picture in group.pictures]


def test_groups_stand_largest_first_with_what_is_exact_and_what_is_near():
    rows = [
        ("d", "train", "ant", "s1", 1),
        ("a", "train", "ant", "s2", 2),
        ("b", "train", "ant", "s2", 2),
        ("c", "extra", "ant", "s3", 2),
        ("e", "train", "ant", "s4", 1),
        ("f", "train", "ant", "s5", 3),
    ]
    found = found_in(table(rows))
    assert [names(group) for group in found.groups] == [["a", "b", "c"], ["d", "e"]]
    assert [group.title for group in found.groups] == ["3 images: 1 exact, 1 near", "2 images: 1 near"]
    assert [picture.note for picture in found.groups[0].pictures] == ["", "exact", "near"]
    assert dict(found.counts)["of these, exact copies of another"] == "1"
    assert dict(found.counts)["of these, near-duplicates of another"] == "2"
    assert not found.conflicts
    assert not found.twins


def test_a_conflict_is_between_labels_that_are_trained_on():
    rows = [
        ("a", "train", "ant", "s1", 1),
        ("b", "train", "bee", "s1", 1),
        ("c", "train", "ant", "s1", 1),
        ("d", "train", "ant", "s2", 2),
        ("e", "test", "bee", "s2", 2),
        ("f", "train", "ant", "s3", 3),
        ("g", "extra", "bee", "s4", 3),
    ]
    found = found_in(table(rows))
    assert [names(group) for group in found.conflicts] == [["a", "b"], ["f", "g"]]
    assert [group.title for group in found.conflicts] == ["same bytes", "near-duplicates"]
    assert [picture.label for picture in found.conflicts[0].pictures] == ["ant", "bee"]
    assert found.conflict_count == 2


def test_twins_are_test_or_validation_images_beside_training_images():
    rows = [
        ("a", "train", "ant", "s1", 1),
        ("x", "test", "bee", "s1", 1),
        ("y", "val", "bee", "s2", 1),
        ("b", "extra", "ant", "s3", 2),
        ("z", "test", "", "s4", 2),
        ("v", "test", "", "s5", 3),
        ("w", "test", "", "s5", 3),
    ]
    found = found_in(table(rows))
    assert [names(group) for group in found.twins] == [["x", "y", "a"], ["z", "b"]]
    assert found.twin_count == 2
    count = dict(found.counts)["test or validation images with a twin in training"]
    assert count == "3 (1 of the same bytes)"
    labels = {picture.id: picture.label for group in found.twins for picture in group.pictures}
    assert labels == {"x": "", "y": "bee", "a": "ant", "z": "", "b": "ant"}  # a test label is never shown


def test_crowds_are_shown_by_their_first_images():
    rows = [(f"c{i:02}", "train", "ant", f"s{i}", i) for i in range(60)]
    found = found_in(table(rows, crowd={f"c{i:02}": 0 for i in range(60)}))
    assert found.crowd_count == 1
    assert found.crowds[0].title == "60 images alike"
    assert (len(found.crowds[0].pictures), found.crowds[0].more) == (5, 55)
    assert not found.groups


def test_unusable_images_are_in_no_group():
    found = found_in(table([("a", "train", "ant", "", -1), ("b", "train", "ant", "", -1)]))
    assert not found.groups
    assert dict(found.counts)["training images"] == "0"


def test_what_is_shown_is_bounded():
    rows = [(f"{i:05}", "train", "ant", f"s{i}", i % 500) for i in range(4000)]
    found = found_in(table(rows))
    assert found.group_count == 500
    assert len(found.groups) == 20
    assert all(len(group.pictures) == 5 and group.more == 3 for group in found.groups)


def test_an_audit_table_without_groups_says_what_to_run():
    images = table([("a", "train", "ant", "s", 1)]).drop(columns=["picture", "in_group", "crowd"])
    assert found_in(images).missing == NO_COLUMNS
