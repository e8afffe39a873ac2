"""The report: one safe, self-contained page from whatever files exist, made again only when one changed."""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import report
from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.page.build import build
from tests import fake_competition as fake
from tests.html_page import Page

HOSTILE = "<img src=x onerror=alert(1)>"
CLASSES = ["007", "moth & <b>wasp</b>", HOSTILE, "</script><script>alert(2)</script>"]
SECTIONS = {
    "summary",
    "ensemble",
    "members",
    "curves",
    "classes",
    "worst",
    "labels",
    "data",
    "folds",
    "duplicates",
    "shift",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = fake.configure(tmp_path_factory.mktemp("whole"))
    train = fake.write_prepared(config, CLASSES)
    fake.write_runs(config)
    submission = Path(config.paths.submissions) / "moths-12345678.csv"
    fake.write_ensemble(config, train, submission=str(submission))
    return config


@pytest.fixture(scope="module")
def page(whole: Config) -> Page:
    return Page(build(whole))


def make(config: Config) -> None:
    report.run(config, argparse.Namespace())


def test_every_section_is_there_with_what_the_files_say(page: Page) -> None:
    assert {attributes.get("id") for _, attributes in page.elements} >= SECTIONS
    assert fake.SENTENCE in page.text
    for shown in ("0.8123", "0.8011", "random", "package", "1 min 13 s, 42/s", "0.500"):
        assert shown in page.text
    assert "of these, exact copies of another 1" in page.text  # img000 and img001 have the same bytes
    assert "truncated" in page.text  # img002 is torn
    assert "none: no test set" in page.text


def test_every_figure_has_its_place_on_the_page(page: Page) -> None:
    places = [
        attributes.get("id") for attributes in page.attributes("div") if attributes.get("class") == "plot"
    ]
    assert sorted(page.figures()) == sorted(name or "" for name in places)


def test_policy_allows_exactly_the_scripts_of_the_page(page: Page) -> None:
    policy = page.attributes("meta")[1]["content"] or ""
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert allowed == hashes
    assert len(hashes) == 2  # plotly.js once, the page's own script once
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    addresses = [
        value or ""
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert addresses
    assert all(address.startswith(("data:", "#", "../../submissions/")) for address in addresses)
    style = (Path(report.__file__).parent / "page" / "report.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def test_text_from_data_stays_text(page: Page) -> None:
    assert HOSTILE in page.text
    assert "</script><script>alert(2)</script>" in page.text
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.attributes("img"))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not page.attributes("b")
    assert len(page.scripts) == 3


def test_plotly_gets_names_without_markup(page: Page) -> None:
    figures = json.dumps(page.figures())
    assert "<img" not in figures
    assert "<b>" not in figures
    assert "&lt;img src=x onerror=alert(1)&gt;" in figures
    assert all(
        trace["type"] in ("scatter", "heatmap", "bar") for f in page.figures().values() for trace in f["data"]
    )


def test_equal_files_give_equal_bytes_in_every_process(whole: Config) -> None:
    make(whole)
    code = (
        "import sys; from pathlib import Path; from tests import fake_competition as fake;"
        "from pipeline.page.build import build; import hashlib;"
        "print(hashlib.sha256(build(fake.configure(Path(sys.argv[1])))).hexdigest())"
    )
    folder = Path(whole.paths.runs).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == hashlib.sha256(paths.report(whole).read_bytes()).hexdigest()


def test_size_of_many_classes_and_runs_stays_small(tmp_path: Path) -> None:
    config = fake.configure(tmp_path, members=20)
    classes = [f"species {i} with a name of some length" for i in range(102)]
    fake.write_ensemble(config, fake.write_prepared(config, classes, rows=400))
    fake.write_runs(config, epochs=30)
    assert len(build(config)) < 15e6


def test_an_empty_folder_gives_a_page_that_says_what_to_run(tmp_path: Path) -> None:
    config = fake.configure(tmp_path, members=1)
    make(config)
    page = Page(paths.report(config).read_bytes())
    for stage in ("prepare", "train", "ensemble"):
        assert f"python -m pipeline.{stage}" in page.text
    assert page.figures() == {}


def test_one_member_without_ensemble_shows_its_folds(tmp_path: Path) -> None:
    config = fake.configure(tmp_path, members=1)
    fake.write_prepared(config, CLASSES)
    fake.write_runs(config)
    page = Page(build(config))
    assert "0.7000" in page.text
    assert "no ensemble yet" in page.text
    assert "curve-loss" in page.figures()
    assert not {"confusion", "f1-by-images"} & set(page.figures())


@pytest.mark.parametrize("name", ["scores.json", "weights.json", "oof.npz"])
def test_a_damaged_file_is_said_and_the_rest_is_shown(tmp_path: Path, name: str) -> None:
    config = fake.configure(tmp_path)
    fake.write_ensemble(config, fake.write_prepared(config, CLASSES))
    fake.write_runs(config)
    (paths.ensemble(config) / name).write_bytes(b"\x00not what it was")
    page = Page(build(config))
    assert "1 min 13 s" in page.text
    assert ("oof.npz can't be read" in page.text) == (name == "oof.npz")
    assert ("no ensemble yet" in page.text) == (name == "scores.json")


def test_a_lost_shard_leaves_captions_without_pictures(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    fake.write_ensemble(config, fake.write_prepared(config, CLASSES))
    next(paths.cache(config).glob("shard-*")).unlink()
    page = Page(build(config))
    assert not page.attributes("img")
    assert "No thumbnails" in page.text
    assert len(re.findall(r"img\d+\.png, fold [01]", page.text_of("worst"))) == 24


def test_second_run_does_nothing_and_a_change_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = fake.configure(tmp_path)
    fake.write_prepared(config, CLASSES)
    fake.write_runs(config)
    make(config)
    before = {path: path.stat().st_mtime_ns for path in Path(config.paths.runs).rglob("*")}
    assert [state.state for state in report.states(config)] == ["done"]
    capsys.readouterr()
    make(config)
    assert "up to date" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in Path(config.paths.runs).rglob("*")}
    metrics = paths.fold(paths.run(config, config.members[0], fake.DIGEST), 1) / "metrics.json"
    fake.write_json(metrics, json.loads(metrics.read_bytes()) | {"score": 0.1234})
    assert [state.state for state in report.states(config)] == ["stale"]
    make(config)
    assert f"{metrics} changed" in capsys.readouterr().out
    assert "0.1234" in Page(paths.report(config).read_bytes()).text


def test_status_needs_no_heavy_import(whole: Config) -> None:
    make(whole)
    code = (
        "import sys; from pathlib import Path; from pipeline import config, report;"
        "c = config.load(sys.argv[1]); report.run(c, None);"
        "print([m for m in ('pandas', 'plotly', 'jinja2', 'cv2', 'torch') if m in sys.modules])"
    )
    folder = Path(whole.paths.runs).parent
    lines = ["[data]", 'name = "moths"', 'unreadable = "skip"', "[folds]", "count = 2", "[paths]"]
    lines += [f'{name} = "{folder / name}"' for name in ("data", "runs", "folds", "submissions")]
    lines += [f'[[members]]\nname = "{member.name}"\nmodel = "{member.model}"' for member in whole.members]
    own = folder / "competition.toml"
    own.write_text("\n".join(lines))
    done = subprocess.run([sys.executable, "-c", code, str(own)], check=True, capture_output=True, text=True)
    assert "up to date" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_manifest_lists_what_was_read(whole: Config) -> None:
    make(whole)
    content = manifest.read(paths.competition(whole) / "report.manifest.json")
    assert content is not None
    assert {"folds", "images", "ensemble/scores.json", "ensemble/oof.npz"} <= set(content["inputs"])
    assert len([name for name in content["inputs"] if name.endswith("metrics.json")]) == 4
    assert list(content["outputs"]) == ["report.html"]
