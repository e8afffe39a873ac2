"""The page's data part on files as people have them: read by `prepare`, shown with what is odd about them."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.artifacts import paths, writer
from pipeline.config import Config
from pipeline.page.build import build
from tests import odd_competition as odd
from tests.html_page import Page


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = odd.configure(tmp_path_factory.mktemp("odd"))
    odd.write(config)
    return config


@pytest.fixture(scope="module")
def page(config: Config) -> Page:
    return Page(build(config))


def test_odd_files_are_named_with_their_pictures(page: Page) -> None:
    shown = page.images_of("data")
    for name, note in odd.NOTES.items():
        assert note in page.text_of("data")
        assert f"{name}.gif" in shown or f"{name}.jpg" in shown


def test_unusable_files_stand_by_their_reason(page: Page) -> None:
    text = page.text_of("data")
    assert "truncated JPEG 1 train a9.jpg" in text
    assert "begins with b'<html>no' 1 train b5.jpg" in text
    assert "images that can't be used 2" in text


def test_counts_are_those_of_usable_images(page: Page) -> None:
    bars = [trace for trace in page.figures()["class-counts"]["data"] if trace["type"] == "bar"]
    counts = {
        name: count for trace in bars for name, count in zip(trace["customdata"], trace["y"], strict=True)
    }
    assert counts == {"ant": 11, "bee": 5, "&lt;img src=x onerror=alert(1)&gt;": 3}
    assert "3 classes with 3 to 11 training images" in page.text_of("data")


def test_copies_conflicts_and_twins_stand_side_by_side(page: Page) -> None:
    text, shown = page.text_of("duplicates"), page.images_of("duplicates")
    assert "One picture, different labels" in text
    assert shown[:2] == ["a0.jpg", "b0.jpg"]
    assert "test or validation images with a twin in training 2 (1 of the same bytes)" in text
    assert {"a1.jpg", "a2.jpg", "a3.jpg", "t0.jpg", "a4.jpg", "t1.jpg"} <= set(shown)
    assert "t2.jpg" not in shown


def test_every_thumbnail_is_a_picture_of_its_own(page: Page) -> None:
    images = page.attributes("img")
    assert images
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in images)
    sources = {image["alt"]: image["src"] for image in images}
    assert len(set(sources.values())) == len(sources) - 2  # a0 and b0, a3 and t0 have the same bytes


def test_names_from_data_stay_text(page: Page) -> None:
    assert odd.HOSTILE in page.text_of("data")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert len(page.scripts) == 3


def test_without_a_cache_the_table_is_shown_without_pictures(tmp_path: Path) -> None:
    config = odd.configure(tmp_path)
    odd.write(config)
    paths.cache_manifest(config).unlink()
    page = Page(build(config))
    assert not page.attributes("img")
    assert "No thumbnails" in page.text_of("data")
    assert "truncated JPEG" in page.text_of("data")
    assert "3 classes with 3 to 11 training images" in page.text_of("data")  # known from the table alone


def test_a_table_of_an_earlier_version_says_what_is_missing(tmp_path: Path) -> None:
    config = odd.configure(tmp_path)
    images = odd.write(config)
    later = ["picture", "in_group", "crowd", "length"]
    old = images.drop(columns=[name for name in later if name in images])
    writer.publish_bytes(paths.cache(config) / "images.parquet", old.to_parquet(index=False))
    page = Page(build(config))
    assert "before groups were kept in the audit table: python -m pipeline.prepare" in page.text
    assert "truncated JPEG" in page.text_of("data")


def test_a_table_with_nothing_usable_still_makes_a_page(tmp_path: Path) -> None:
    config = odd.configure(tmp_path)
    images = odd.write(config).assign(problem="empty file", shard=-1, picture=-1, in_group=-1, crowd=-1)
    writer.publish_bytes(paths.cache(config) / "images.parquet", pd.DataFrame(images).to_parquet(index=False))
    text = Page(build(config)).text_of("data")
    assert "images that can't be used 24" in text
    assert "empty file 24" in text
