"""`submit --pick` tells where a competition stands, from the ledger and files alone, and writes it down."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import config as configuration
from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.leaderboard import client, ledger
from pipeline.leaderboard.answers import Answer, Submission
from tests.test_send import make_config, write, write_scores
from tests.test_submit import files, run
from tests.test_write import prepared
from tests.test_write import write as write_computed


@pytest.fixture(autouse=True)
def nothing_is_called(tmp_path, monkeypatch):
    """Every test here fails if the client is run."""

    def forbidden(*arguments: object) -> None:
        raise AssertionError(f"the client was called: {arguments}")

    monkeypatch.setattr(client, "call", forbidden)
    monkeypatch.chdir(tmp_path)


def scored(config: Config, ref: str, public: float, cv: float | None, labels: str) -> None:
    """Leave a scored submission: its file with three rows, its line in the ledger."""
    names = {"c": "cat", "d": "dog", "e": "eel"}
    rows = {f"0{i}": names[label] for i, label in enumerate(labels, 1)}
    path = write(f"{ref}.csv", rows)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {} if cv is None else {"cv": cv, "se": 0.01, "cv_rows": 300}
    ledger.append(paths.ledger(config), "scored", slug="loopback", ref=ref, file=str(path), sha256=sha256,
                  rows=3, public=public, metric="macro-f1", **known)  # fmt: skip


def picked(config: Config) -> dict:
    return json.loads((paths.competition(config) / "standing.json").read_bytes())


def test_pick_tells_where_it_stands_and_proposes_two(capsys):
    config = make_config(kaggle="loopback")
    scored(config, "a", 0.70, 0.80, "cde")
    scored(config, "b", 0.90, 0.82, "cdc")
    scored(config, "c", 0.85, None, "ccc")
    before = files()
    run(config, pick=True)
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    # LB errs by .01 · √(300 / 3) = .1; the gap is −.01, and 1/3 of the rows makes a noise of √1 / 3.
    assert out == [
        "submit 3 submissions scored by loopback",
        "macro-f1, higher is better",
        "submission CV LB combined changed rows against the best before",
        "a.csv (a) 0.8000 ± 0.0100 0.7000 ± 0.1000 0.7891 ± 0.0100 first",
        "b.csv (b) 0.8200 ± 0.0100 0.9000 ± 0.1000 0.8109 ± 0.0100 1 "
        "within noise: better by 0.2000, noise 0.3333",
        "c.csv (c) 0.8500 0.8500 2 within noise: better by 0.1500, noise 0.4714",
        "c.csv (c): the ledger has no CV of it; LB ± unknown",
        "A combined score without ± is LB alone: it ranks behind the others.",
        "CV and LB of 2 submissions: rank correlation unknown (it takes 3 submissions, CV and LB not all the "
        "same), expected gap LB − CV −0.0100 ± 0.0900",
        "LB ± is that of all 3 test rows, the least that it can be: data.public_share isn't set (the "
        "leaderboard's page says it)",
        "Final two: b.csv (b) and a.csv (a), which differ in 33.3 % of their rows",
        "Numbers runs/pets/standing.json",
    ]
    assert {name: time for name, time in files().items() if name in before} == before
    content = picked(config)
    assert (content["competition"], content["gap"]["n"]) == ("loopback", 2)
    assert content["gap"]["mean"] == pytest.approx(-0.01)
    assert content["final"]["chosen"] == ["b.csv (b)", "a.csv (a)"]
    assert [step["verdict"] for step in content["steps"]] == ["first", "within noise", "within noise"]
    assert content["submissions"][1]["combined"] == pytest.approx((100 * 0.81 + 0.9) / 101)


def test_pick_says_why_there_is_no_second(capsys):
    config = make_config(kaggle="loopback")
    scored(config, "a", 0.70, 0.80, "cde")
    run(config, pick=True)
    assert "it is the only scored submission" in capsys.readouterr().out
    scored(config, "b", 0.70, 0.80, "cde")
    scored(config, "c", 0.70, 0.80, "cdc")
    Path("c.csv").unlink()
    run(config, pick=True)
    out = capsys.readouterr().out
    assert "Final: a.csv (a); no other is known to differ in 1 % of the rows:" in out
    assert "  b.csv (b): it differs from a.csv (a) in 0 % of the rows, less than 1 %" in out
    assert "  c.csv (c): how much it differs is unknown" in out
    assert "within noise: the same, noise 0.1414 by standard errors" in out
    assert "a file is gone" in out


def test_pick_uses_the_public_share(capsys):
    config = make_config(kaggle="loopback")
    config = replace(config, data=replace(config.data, public_share=0.34))
    scored(config, "a", 0.70, 0.80, "cde")
    run(config, pick=True)
    assert "LB ± is that of 1 public rows of 3" in capsys.readouterr().out
    assert picked(config)["submissions"][0]["lb_se"] == pytest.approx(0.01 * 300**0.5)


def test_pick_without_a_scored_submission_is_one_line(capsys):
    for config, why in [
        (make_config(kaggle="loopback"), "python -m pipeline.submit --send makes one"),
        (make_config(), "no Kaggle competition configured (data.kaggle)"),
        (configuration.load("sample"), "python -m pipeline makes one"),
    ]:
        run(config, pick=True)
        assert capsys.readouterr().out == f"submit    no scored submission to pick from: {why}\n"
        assert not (paths.competition(config) / "standing.json").exists()


def test_pick_knows_the_drawn_samples_own_scores(capsys):
    config = prepared("log-loss", drawn={"classes": 3, "images": 20}, public_share=0.3)
    paths.solution(config).parent.mkdir(parents=True)
    paths.solution(config).write_text("id,label,clean_label\n01,cat,cat\n02,dog,dog\n03,eel,cat\n")
    added = write_computed(config)
    capsys.readouterr()
    run(config, pick=True)
    out = capsys.readouterr().out
    assert "1 submission scored locally" in out
    assert "log-loss, lower is better" in out
    [item] = picked(config)["submissions"]
    # all of the sample's rows are public, whatever the configuration says
    assert (item["lb"], item["public_rows"]) == (added["true_score"], 3)
    assert item["lb_se"] == pytest.approx(0.05 * (30 / 3) ** 0.5)


def test_what_was_sent_can_be_picked(monkeypatch, capsys):
    config, path = make_config(kaggle="loopback"), write()
    write_scores(config, path)
    scores = paths.ensemble(config) / "scores.json"
    scores.write_text(json.dumps(json.loads(scores.read_text()) | {"n": 1200}))
    listed: list[Submission] = []

    def submit_it(slug: str, path: Path, message: str) -> Answer:
        listed.append(Submission("7", path.name, "", message, "COMPLETE", 0.8, None))
        return Answer(0, "", "")

    monkeypatch.setattr(client, "find_credentials", lambda: SimpleNamespace(warning=""))
    monkeypatch.setattr(client, "list_submissions", lambda slug: list(listed))
    monkeypatch.setattr(client, "limits", lambda slug: None)
    monkeypatch.setattr(client, "submit", submit_it)
    run(config, send=True)
    run(config, pick=True)
    assert "0.8170 ± 0.0040  0.8000 ± 0.0800" in capsys.readouterr().out
