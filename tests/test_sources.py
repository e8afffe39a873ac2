"""What can be blended: members, other runs on the same folds, predictions made elsewhere; what can't."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from pipeline import ensemble
from pipeline.artifacts import paths
from pipeline.blending import sources
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, UsageError
from tests import tiny

OTHER = [{**tiny.MEMBERS[0], "train": {"epochs": 1}}, tiny.MEMBERS[1]]


def scores_of(config):
    return json.loads((paths.ensemble(config) / "scores.json").read_bytes())


def blend_of(config, which):
    """Return ids, probs and folds of the ensemble's oof.npz or test.npz."""
    with np.load(paths.ensemble(config) / f"{which}.npz") as arrays:
        return arrays["ids"].tolist(), arrays["probs"][0], arrays["fold"], arrays["classes"].tolist()


def write_csv(path, ids, probs, classes, fold=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", *(["fold"] if fold is not None else []), *classes])
        for i, name in enumerate(ids):
            writer.writerow([name, *([fold[i]] if fold is not None else []), *probs[i].tolist()])


def made_elsewhere(config, name="outside", order=slice(None, None, -1)):
    """Write the ensemble's own predictions as if another program had made them, rows and classes turned."""
    folder = paths.external(config)
    for which in ("oof", "test"):
        ids, probs, fold, classes = blend_of(config, which)
        turned = probs[order][:, ::-1]
        held = fold[order] if which == "oof" else None
        write_csv(folder / f"{name}.{which}.csv", ids[order], turned, classes[::-1], held)
    return folder


def test_predictions_made_elsewhere_are_a_member_by_their_name(competition):
    config = tiny.configure(competition)
    made_elsewhere(config)
    assert ensemble.states(config)[0].state == "stale"
    tiny.run("ensemble", config)
    found = scores_of(config)["members"]
    assert list(found) == ["a", "b", "outside"]
    assert found["outside"]["kind"] == "external"
    assert sum(member["weight"] for member in found.values()) == pytest.approx(1)
    tiny.run("ensemble", config, "--members", "outside")
    assert list(scores_of(config)["members"]) == ["outside"]


def test_an_npz_says_the_same_as_a_table(competition):
    config = tiny.configure(competition)
    folder = made_elsewhere(config)
    folds = load_folds(config)
    classes = blend_of(config, "oof")[3]
    [table] = [s for s in sources.known_sources(config) if s.name == "outside"]
    from_csv, _ = sources.load_oof(table, classes, folds.ids, folds.fold_of, folds.digest)
    ids, probs, fold, _ = blend_of(config, "oof")
    (folder / "outside.oof.csv").unlink()
    views = np.stack([probs, probs])
    np.savez(folder / "outside.oof.npz", ids=ids, classes=classes, probs=views, fold=fold)
    [again] = [s for s in sources.known_sources(config) if s.name == "outside"]
    from_npz, names = sources.load_oof(again, classes, folds.ids, folds.fold_of, folds.digest)
    assert names == ["view0", "view1"]
    assert from_npz[0] == pytest.approx(from_csv[0], abs=1e-6)
    assert np.isnan(from_npz[:, folds.fold_of < 0]).all()


def without_folds(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, probs, classes)


def other_folds(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, probs, classes, np.roll(fold, 1))


def a_row_missing(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids[1:], probs[1:], classes, fold[1:])


def other_classes(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, probs, ["cat", *classes[1:]], fold)


def no_distribution(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, 2 * probs, classes, fold)


def ragged(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, probs, classes, fold)
    path = folder / "x.oof.csv"
    path.write_text(path.read_text() + "one,2\n")


def a_pickle(folder, ids, probs, fold, classes):
    folder.mkdir(parents=True)
    np.savez(folder / "x.oof.npz", ids=np.array(ids, object), classes=classes, probs=probs, fold=fold)


def no_test_rows(folder, ids, probs, fold, classes):
    write_csv(folder / "x.oof.csv", ids, probs, classes, fold)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (without_folds, r"x\.oof\.csv doesn't say which fold each row was held out in"),
        (other_folds, r"x\.oof\.csv: \d+ rows were held out in another fold than here \('\w+' in fold"),
        (a_row_missing, r"x\.oof\.csv: 1 ids have no row"),
        (other_classes, r"x\.oof\.csv has 3 classes, the competition 3: without a column are"),
        (no_distribution, r"x\.oof\.csv: the probabilities of id .* sum to 2\.0000, not 1"),
        (ragged, r"x\.oof\.csv can't be read: line 42 has another number of cells"),
        (a_pickle, r"x\.oof\.npz can't be read"),
        (no_test_rows, r"x\.oof\.csv has no test predictions beside it: x\.test\.csv is missing"),
    ],
)
def test_what_doesnt_fit_is_refused_by_file(competition, write, words):
    config = tiny.configure(competition)
    before = (paths.ensemble(config) / "scores.json").read_bytes()
    write(paths.external(config), *blend_of(config, "oof"))
    with pytest.raises(DataError, match=words):
        tiny.run("ensemble", config)
    assert (paths.ensemble(config) / "scores.json").read_bytes() == before


def test_one_name_for_two_things_is_refused(competition):
    config = tiny.configure(competition)
    folder = made_elsewhere(config, "a")
    with pytest.raises(DataError, match="'a', the name of a member"):
        sources.known_sources(config)
    (folder / "a.oof.npz").write_bytes(b"")
    with pytest.raises(DataError, match="predictions of one member: keep one"):
        sources.known_sources(config)


def test_every_run_of_these_folds_can_be_blended(competition):
    config = tiny.configure(competition)
    tiny.run("train", tiny.configure(competition, None, OTHER))
    tiny.run("ensemble", config)
    assert list(scores_of(config)["members"]) == ["a", "b"]
    [run] = [source.name for source in sources.known_sources(config) if source.kind == "run"]
    assert run.startswith("a-")
    every = ensemble.chosen(config, tiny.options("ensemble", "--all"))
    tiny.run("predict", every)
    tiny.run("ensemble", config, "--all")
    found = scores_of(config)["members"]
    assert list(found) == ["a", "b", run]
    assert found[run]["kind"] == "run"
    tiny.run("ensemble", config, "--members", f"b,{run}")
    assert list(scores_of(config)["members"]) == ["b", run]
    kept = dataclasses.replace(config, ensemble=dataclasses.replace(config.ensemble, members=("b", run)))
    assert ensemble.states(kept)[0].state == "done"


def test_a_run_whose_folds_are_not_all_trained_is_left_out(competition):
    config = tiny.configure(competition)
    other = tiny.configure(competition, None, OTHER)
    tiny.run("train", other, "--fold", "1")
    assert [source.kind for source in sources.known_sources(config)] == ["member", "member"]


def test_unknown_names_get_the_nearest_ones(competition):
    config = tiny.configure(competition)
    with pytest.raises(UsageError, match="'bb' is nothing that can be blended; there is b"):
        tiny.run("ensemble", config, "--members", "a,bb")
    with pytest.raises(UsageError, match="give one of them"):
        tiny.run("ensemble", config, "--members", "a", "--all")
    balanced = tiny.configure(competition, {"ensemble": {"balanced": ["c"]}})
    with pytest.raises(UsageError, match=r"ensemble\.balanced names 'c'"):
        tiny.run("ensemble", balanced)


def test_one_member_chosen_is_blended_alone(competition):
    config = tiny.configure(competition)
    tiny.run("ensemble", config, "--members", "b")
    assert scores_of(config)["members"]["b"]["weight"] == 1
    assert ensemble.states(config)[0].why.startswith('members changed from ["b"] to ["a", "b"]')


def test_the_choice_of_blends_and_rules_is_configuration(competition):
    chosen = {"ensemble": {"blends": ["geometric"], "rules": ["argmax"]}}
    config = tiny.configure(competition, chosen)
    tiny.run("ensemble", config)
    weights = json.loads((paths.ensemble(config) / "weights.json").read_bytes())
    assert (weights["blend"], weights["rule"]["name"]) == ("geometric", "argmax")
    assert list(weights["candidates"]["blends"]) == ["geometric"]
    blends, rules = (
        ["uniform", "arithmetic", "geometric", "greedy"],
        ["argmax", "macro-f1", "logit-adjustment"],
    )
    many = {"blends": blends, "rules": rules}
    with pytest.raises(UsageError, match="name 7 candidates, 6 are the most"):
        tiny.configure(competition, {"ensemble": many})
