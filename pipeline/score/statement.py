"""What a cross-fitted blend is said to be worth: scores.json, weights.json, the sentence a run ends with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.score.crossfit import CrossFitted
from pipeline.score.metrics import all_metrics


def scores(
    found: CrossFitted,
    targets: np.ndarray,
    fold_of: np.ndarray,
    members: Sequence[str],
    classes: Sequence[str],
    folds_digest: str,
) -> dict[str, Any]:
    """Return the content of scores.json (JSON values) for targets and fold_of int [n].

    `oof_shares` [C] is how often each class was predicted on the scored rows.
    """
    scored = fold_of >= 0
    labels = found.predictions[scored]
    numbers = zip(members, found.member_scores, found.chain.weights.tolist(), strict=True)
    content = {
        "metric": found.metric,
        "cross_fitted": found.score,
        "in_sample": found.in_sample,
        "optimism": found.optimism,
        "interval": [found.interval.low, found.interval.high],
        "standard_error": found.standard_error,
        "n": found.n,
        "groups": found.groups,
        "classes_without_support": [classes[i] for i in found.classes_without_support],
        "members": {name: {"oof": score, "weight": weight} for name, score, weight in numbers},
        "rule": found.chain.rule.name,
        "folds_digest": folds_digest,
        "all_metrics": all_metrics(targets[scored], found.probs[scored], labels),
        "oof_shares": (np.bincount(labels, minlength=len(classes)) / len(labels)).tolist(),
        "submission": "",
    }
    return {**content, "sentence": sentence(content, found)}


def sentence(content: Mapping[str, Any], found: CrossFitted) -> str:
    """Write the closing sentence of a run from the content of scores.json."""
    chain = found.chain
    weights = ", ".join(f"{name} {member['weight']:.2f}" for name, member in content["members"].items())
    return (
        f"{found.metric} {found.score:.4f} cross-fitted "
        f"(95 % interval {found.interval.low:.4f}–{found.interval.high:.4f}, "
        f"{found.n} images in {found.groups} groups; in-sample {found.in_sample:.4f}, "
        f"optimism {found.optimism:.4f}; {len(content['classes_without_support'])} classes without support). "
        f"T {chain.temperature:.2f}, weights {weights} ({chain.candidate.pool}), rule {chain.rule.name}. "
        f"Folds {content['folds_digest']}."
    )


def closing_lines(content: Mapping[str, Any]) -> list[str]:
    """Return what a run ends with, a line each: the sentence, the range expected, and scores that are known.

    `content` is scores.json with what the submission and the official splits added.
    """
    lines = [content["sentence"]]
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


def weights(found: CrossFitted, members: Sequence[str]) -> dict[str, Any]:
    """Return the content of weights.json: the delivered chain in numbers, in the order it is applied."""
    chain = found.chain
    numbers = zip(members, chain.weights.tolist(), chain.member_temperatures.tolist(), strict=True)
    fitted = {
        name: value.tolist() if isinstance(value, np.ndarray) else float(value)
        for name, value in chain.rule.fitted.items()
    }
    return {
        "order": "each member at its temperature → pool with the weights → final temperature → rule",
        "members": {name: {"weight": weight, "temperature": t} for name, weight, t in numbers},
        "weights": f"{chain.candidate.weights}: log-loss, with a Dirichlet pull of 50 counts to uniform",
        "pool": chain.candidate.pool,
        "temperature": chain.temperature,
        "rule": {"name": chain.rule.name, **fitted},
        "candidates": {str(candidate): score for candidate, score in found.candidate_scores.items()},
    }
