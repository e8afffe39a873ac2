"""Compare: is A better than B on the same images, or is it noise; where do they differ?

  python -m pipeline.compare resnet50 convnext     two members
  python -m pipeline.compare ensemble resnet50     the ensemble, as it is cross-fitted, and a member

A and B are names of members, of other runs' folders (MEMBER-DIGEST8) on the same folds, of predictions made
elsewhere (runs/NAME/external), or `ensemble`. Its labels are those of its rule, others' the most probable
classes. All numbers go to runs/NAME/comparisons/A--B.json too.
"""

import argparse
import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline import ensemble, terminal
from pipeline.artifacts import manifest, paths, predictions, writer
from pipeline.blending.sources import Source, known_sources, load_oof
from pipeline.config import Config
from pipeline.errors import DataError, UsageError

if TYPE_CHECKING:
    from pipeline.dataset.folds.folds_file import Folds
    from pipeline.score.comparison import Comparison, Paired, Predicted

ENSEMBLE = "ensemble"
CLASSES_SHOWN = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add A and B."""
    parser.add_argument("a", metavar="A", help="a member, a run, predictions made elsewhere, or ensemble")
    parser.add_argument("b", metavar="B", help="what A is compared with")


def run(config: Config, options: argparse.Namespace) -> None:
    """Compare A with B, print what was found and write it down."""
    import numpy as np

    from pipeline.dataset.folds.folds_file import load_folds
    from pipeline.leaderboard.competition_metric import competition_metric
    from pipeline.score.comparison import compare

    names = (options.a, options.b)
    if options.a == options.b:
        raise UsageError(f"{options.a} is both A and B: name two that can differ.")
    metric, folds = competition_metric(config), load_folds(config)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    known = {source.name: source for source in known_sources(config)}
    for name in names:
        _check_name(config, name, known)
    a, b = (_predicted(config, name, known, folds, classes) for name in names)
    index = {name: i for i, name in enumerate(classes)}
    found = compare(
        np.array([index[label] for label in folds.labels]),
        a,
        b,
        folds.fold_of,
        metric,
        groups=folds.groups,
        kind=folds.kind,
        seed=config.folds.seed,
    )
    content = _content(names, found, classes, folds.digest)
    path = paths.competition(config) / "comparisons" / f"{options.a}--{options.b}.json"
    writer.publish_bytes(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
    _tell(content)
    terminal.say(f"Comparison  {path}")


def _check_name(config: Config, name: str, known: Mapping[str, Source]) -> None:
    """Raise DataError for a member or an ensemble that isn't there yet, UsageError for an unknown name."""
    if name in known:
        for job in known[name].jobs:
            job.check_trained()
    elif name == ENSEMBLE:
        path = paths.ensemble(config) / "oof.npz"
        if not path.exists():
            raise DataError(f"{path} isn't there: python -m pipeline.ensemble")
    else:
        names = [*known, ENSEMBLE]
        near = difflib.get_close_matches(name, names, 3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"no predictions are called {name!r}: {hint}There are: {', '.join(names)}.")


def _predicted(
    config: Config, name: str, known: Mapping[str, Source], folds: "Folds", classes: Sequence[str]
) -> "Predicted":
    """Return probs [n, C] and labels [n] in the folds' order: the most probable class, or the rule's."""
    from pipeline.score.comparison import Predicted

    if name not in known:
        return _of_ensemble(config, folds, classes)
    views, _ = load_oof(known[name], classes, folds.ids, folds.fold_of, folds.digest)
    probs = views.mean(axis=0)
    return Predicted(probs.argmax(axis=1), probs)


def _of_ensemble(config: Config, folds: "Folds", classes: Sequence[str]) -> "Predicted":
    """Return the cross-fitted probs and the labels chosen by its rule; NaN and −1 for rows of fold −1."""
    import numpy as np

    from pipeline.score.comparison import Predicted

    [state] = ensemble.states(config)
    if state.state != "done":
        terminal.warn(f"the ensemble isn't up to date ({state.why}): python -m pipeline.ensemble")
    path = paths.ensemble(config) / "oof.npz"
    found = predictions.load(path, classes, folds.digest)
    scored = np.flatnonzero(folds.fold_of >= 0)
    names = [folds.ids[i] for i in scored]
    probs = np.full((len(folds.ids), len(classes)), np.nan, np.float32)
    labels = np.full(len(folds.ids), -1)
    probs[scored] = predictions.join(path, found, names).mean(axis=0)
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        label_of = dict(zip(found.ids.tolist(), arrays["predictions"].tolist(), strict=True))
    labels[scored] = [label_of[name] for name in names]
    return Predicted(labels, probs)


def _content(
    names: tuple[str, str], found: "Comparison", classes: Sequence[str], folds_digest: str
) -> dict[str, Any]:
    """Return what the file holds and `_tell` prints; gains are positive where A is better."""
    tested = dataclasses.asdict(found.over_folds)
    return {
        "a": names[0],
        "b": names[1],
        "folds_digest": folds_digest,
        "images": found.n,
        "groups": found.groups,
        "paired": _paired(found.pooled),
        "log_loss": found.log_loss and _paired(found.log_loss),
        "folds": [dataclasses.asdict(fold) for fold in found.folds],
        "over_folds": tested | {"test": "Nadeau–Bengio"},
        "disagreement": dataclasses.asdict(found.disagreement),
        "changed_classes": sum(item.change != 0 for item in found.classes),
        "classes": [
            {"class": classes[item.label], "images": item.images, "a": item.a, "b": item.b}
            | {"change": item.change}
            for item in found.classes
        ],
    }


def _paired(found: "Paired") -> dict[str, Any]:
    gain = dataclasses.asdict(found.difference)
    return {"metric": found.metric, "a": found.a, "b": found.b, **gain, "is_noise": found.is_noise}


def _tell(content: Mapping[str, Any]) -> None:
    """Print a comparison: the sentences, the folds, the disagreement, the classes that changed most."""
    a, b = content["a"], content["b"]
    terminal.say(f"{a} and {b} on {content['images']:,} images in {content['groups']:,} groups.")
    for paired in (content["paired"], content["log_loss"]):
        if paired:
            terminal.say(_sentence(a, b, paired))
    rows = [
        [str(fold["fold"]), f"{fold['images']:,}", *_scores(fold), f"{fold['gain']:+.4f}"]
        for fold in content["folds"]
    ]
    terminal.table("", ["fold", "images", a, b, "gain"], rows)
    tested, differ = content["over_folds"], content["disagreement"]
    terminal.say(
        f"Mean gain of the folds {tested['gain']:+.4f} ({_span(tested)}, Nadeau–Bengio p {tested['p']:.3f}): "
        "how other training rows might do. The gain above is of all images together, rare classes too."
    )
    terminal.say(
        f"Labels differ on {differ['images']:,} images ({100 * differ['share']:.1f} %): {differ['only_a']:,} "
        f"only {a} has right, {differ['only_b']:,} only {b}, {differ['neither']:,} neither "
        f"(McNemar p {differ['p']:.3f})."
    )
    _tell_classes(content)


def _tell_classes(content: Mapping[str, Any]) -> None:
    changed = content["changed_classes"]
    if not changed:
        terminal.say("No class has another F1.")
        return
    shown = min(changed, CLASSES_SHOWN)
    title = f"F1 of the {shown} of {changed} classes that changed most (of few images: mostly chance)"
    rows = [
        [item["class"], f"{item['images']:,}", *_scores(item), f"{item['change']:+.4f}"]
        for item in content["classes"][:shown]
    ]
    terminal.table(title, ["class", "images", content["a"], content["b"], "change"], rows)


def _sentence(a: str, b: str, paired: Mapping[str, Any]) -> str:
    """Say both scores, the gain of a, and whether it is noise."""
    better, worse = (a, b) if paired["gain"] > 0 else (b, a)
    if not paired["gain"]:
        verdict = "no difference"
    elif paired["is_noise"]:
        verdict = "noise, under two standard errors"
    else:
        verdict = f"{better} is better than {worse}"
    of_a, of_b = _scores(paired)
    return (
        f"{paired['metric']}: {a} {of_a}, {b} {of_b}, gain of {a} {paired['gain']:+.4f} ({_span(paired)}, "
        f"standard error {paired['standard_error']:.4f}): {verdict}."
    )


def _span(found: Mapping[str, Any]) -> str:
    return f"95 % interval {found['low']:+.4f} to {found['high']:+.4f}"


def _scores(found: Mapping[str, Any]) -> tuple[str, str]:
    return f"{found['a']:.4f}", f"{found['b']:.4f}"


if __name__ == "__main__":
    from pipeline.command import run as run_command

    run_command(run, __doc__, "compare", add_arguments)
