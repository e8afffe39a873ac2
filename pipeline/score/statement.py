"""What a cross-fitted blend is said to be worth: scores.json, weights.json, the sentence a run ends with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.score.agreement import agreement
from pipeline.score.blends.kinds import BLENDS
from pipeline.score.calibrate import calibration_error, reliability
from pipeline.score.crossfit import CrossFitted
from pipeline.score.gains import choice_gains
from pipeline.score.metrics import all_metrics
from pipeline.score.oof import OofRows
from pipeline.score.per_class import class_results
from pipeline.score.views import ViewWeights


def scores(
    found: CrossFitted, rows: OofRows, members: Mapping[str, str], classes: Sequence[str], folds_digest: str
) -> dict[str, Any]:
    """Return the content of scores.json (JSON values) for the scored rows.

    `members` are the members' kinds by name, in the order of the rows' probs. `oof_shares` [C] is how often
    each class was predicted on the scored rows.
    """
    numbers = zip(members.items(), found.member_scores, found.chain.blend.weights.tolist(), strict=True)
    content = {
        "metric": found.metric,
        "cross_fitted": found.score,
        "in_sample": found.in_sample,
        "optimism": found.optimism,
        "interval": [found.interval.low, found.interval.high],
        "standard_error": found.standard_error,
        "n": found.n,
        "groups": found.groups,
        "folds": len(found.fits.blends),
        "classes_without_support": [classes[i] for i in found.classes_without_support],
        "members": {
            name: {"oof": score, "weight": weight, "kind": kind} for (name, kind), score, weight in numbers
        },
        "blend": found.chain.blend.name,
        "rule": found.chain.rule.name,
        "folds_digest": folds_digest,
        "all_metrics": all_metrics(rows.targets, found.probs, found.predictions),
        "oof_shares": (np.bincount(found.predictions, minlength=len(classes)) / found.n).tolist(),
        "submission": "",
    }
    return {**content, "sentence": sentence(content, found), **_insights(found, rows, list(members), classes)}


def _insights(
    found: CrossFitted, rows: OofRows, members: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """What explains the score: gains of the choices, agreement of members, results a class, reliability."""
    correlation, disagreement = agreement(rows.members, rows.targets)
    bins = reliability(found.probs.max(1), found.probs.argmax(1) == rows.targets)
    return {
        "choices": [
            {
                "choice": gain.choice,
                "kept": gain.kept,
                "instead": gain.instead,
                "gains": {name: vars(difference) for name, difference in gain.gains.items()},
            }
            for gain in choice_gains(found, rows)
        ],
        "agreement": {
            "members": list(members),
            "correlation": correlation.tolist(),
            "disagreement": disagreement.tolist(),
        },
        "classes": class_results(rows.targets, found.predictions, classes, rows.groups),
        "reliability": {"bins": bins, "ece": calibration_error(bins)},
    }


def view_table(
    views: ViewWeights, names: Sequence[str], milliseconds: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """Return a member's views as in scores.json: weight, gain in log-loss, its standard error, milliseconds.

    >>> one = ViewWeights(np.ones(1), np.array([np.nan]), np.array([np.nan]))
    >>> view_table(one, ["identity"], {})
    {'identity': {'weight': 1.0, 'gain': None, 'standard_error': None, 'milliseconds': None}}
    """
    numbers = zip(names, views.weights, views.gains, views.standard_errors, strict=True)
    return {
        name: {
            "weight": float(weight),
            "gain": _number(gain),
            "standard_error": _number(error),
            "milliseconds": milliseconds.get(name),
        }
        for name, weight, gain, error in numbers
    }


def sentence(content: Mapping[str, Any], found: CrossFitted) -> str:
    """Write the closing sentence of a run from the content of scores.json."""
    chain = found.chain
    weights = ", ".join(f"{name} {member['weight']:.2f}" for name, member in content["members"].items())
    return (
        f"{found.metric} {found.score:.4f} cross-fitted "
        f"(95 % interval {found.interval.low:.4f}–{found.interval.high:.4f}, "
        f"{found.n} images in {found.groups} groups; in-sample {found.in_sample:.4f}, "
        f"optimism {found.optimism:.4f}; {len(content['classes_without_support'])} classes without support). "
        f"T {chain.blend.temperature:.2f}, weights {weights} ({chain.blend.name}), rule {chain.rule.name}. "
        f"Folds {content['folds_digest']}."
    )


def closing_lines(content: Mapping[str, Any]) -> list[str]:
    """Return what a run ends with, a line each: the sentence, the range expected, and scores that are known.

    `content` is scores.json with what the submission and the official splits added.
    """
    lines = [content["sentence"]]
    if names := content.get("chosen_on_their_rows"):
        lines.append(
            f"The score flatters: epochs of {', '.join(names)} were chosen on the rows that are scored "
            '(train.select = "best"; by .011 to .025 of macro-F1 in simulations).'
        )
    if names := content.get("refits"):
        lines.append(
            f"On the test rows a model of {', '.join(names)} that was trained on all rows counts as one more"
            " fold's; it has no score of its own."
        )
    if "expected" in content:
        e = content["expected"]
        span = f"{e['low']:.4f}–{e['high']:.4f}"
        lines.append(
            f"Expected on {e['rows']} test rows: {span} by one fold's model; all folds' mean is a bit better."
        )
    if "true_score" in content:
        lines.append(
            f"True score on the hidden solution: {content['metric']} {content['true_score']:.4f} "
            f"(with its wrong labels mended {content['true_score_clean']:.4f}); sample data (drawn)."
        )
    for split, found in content.get("official", {}).items():
        lines.append(f"Official {split} split, {_scores_of(found)}.")
        if "without_twins" in found:
            lines.append(
                f"  without near-duplicates of training images, {_scores_of(found['without_twins'])}."
            )
    return lines


def _scores_of(found: Mapping[str, Any]) -> str:
    """Say a table of official scores in one line.

    >>> _scores_of({"rows": 2000, "scores": {"accuracy": 0.5, "macro-f1": 0.25}})
    '2,000 images: accuracy 0.5000, macro-f1 0.2500'
    """
    scores = ", ".join(f"{name} {value:.4f}" for name, value in found["scores"].items())
    return f"{found['rows']:,} images: {scores}"


def weights(found: CrossFitted, members: Sequence[str], views: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the content of weights.json: the delivered chain in numbers, in the order it is applied.

    `views` are the names of each member's views.
    """
    blend, rule, kind = found.chain.blend, found.chain.rule, BLENDS[found.chain.blend.name]
    fitted = {
        name: value.tolist() if isinstance(value, np.ndarray) else float(value)
        for name, value in rule.fitted.items()
    }
    return {
        "order": "each member: its views weighted, where its training balanced the classes times their "
        "shares to the power 1 − trained_power, at its temperature → the pool with the weights → the final "
        "temperature → times the classes' shares to the prior power → the rule",
        "members": {
            name: {
                "weight": float(blend.weights[m]),
                "temperature": float(blend.member_temperatures[m]),
                "views": dict(zip(views[name], blend.views[m].weights.tolist(), strict=True)),
                **({"trained_power": blend.powers[m]} if blend.powers[m] != 1.0 else {}),
            }
            for m, name in enumerate(members)
        },
        "blend": blend.name,
        "weights": kind.explanation.format(pull=found.plan.pull),
        "pool": kind.pool_name,
        "temperature": float(blend.temperature),
        "prior_power": float(blend.prior_power),
        "rule": {"name": rule.name, **fitted},
        "candidates": {
            "blends": {name: {"log-loss": loss} for name, loss in found.blend_scores.items()},
            "rules": found.rule_scores,
        },
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
