"""Every metric against scikit-learn or brute force, and what it does where a class is empty."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from pipeline.score.metrics import (
    METRICS,
    all_metrics,
    confusion_matrix,
    f1_per_class,
    find_metric,
    macro_f1_from_confusion,
    recall_per_class,
)

SKLEARN_LABELS = {
    "macro-f1": lambda y, p: sklearn_metrics.f1_score(y, p, average="macro", zero_division=0),
    "weighted-f1": lambda y, p: sklearn_metrics.f1_score(y, p, average="weighted", zero_division=0),
    "micro-f1": lambda y, p: sklearn_metrics.f1_score(y, p, average="micro"),
    "accuracy": sklearn_metrics.accuracy_score,
    "balanced-accuracy": lambda y, p: np.mean(
        [(p[y == label] == label).mean() for label in np.unique(y)]
    ),  # balanced_accuracy_score itself warns of predictions that are not in y
    "quadratic-kappa": lambda y, p: sklearn_metrics.cohen_kappa_score(
        y, p, labels=np.arange(7), weights="quadratic"
    ),
}


def problem(seed, n=200, n_classes=7, empty=()):
    draw = np.random.default_rng(seed)
    probs = draw.dirichlet(np.full(n_classes, 0.5), size=n)
    targets = np.array([draw.choice(n_classes, p=row) for row in probs])
    for label in empty:
        targets[targets == label] = 0
    return targets, probs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SKLEARN_LABELS)
def test_label_metrics_agree_with_scikit_learn(name, seed):
    targets, probs = problem(seed, empty=(2, 5) if seed else ())
    predictions = probs.argmax(1)
    if seed == 2:  # class 2 in neither truth nor prediction: left out of the mean
        predictions[predictions == 2] = 1
    ours = METRICS[name].function(targets, predictions, 7)
    assert ours == pytest.approx(SKLEARN_LABELS[name](targets, predictions), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_probability_metrics_agree_with_scikit_learn(seed):
    targets, probs = problem(seed)
    loss = sklearn_metrics.log_loss(targets, probs, labels=np.arange(7))
    assert METRICS["log-loss"].function(targets, probs, 7) == pytest.approx(loss)
    auc = sklearn_metrics.roc_auc_score(targets, probs, multi_class="ovr")
    assert METRICS["auc"].function(targets, probs, 7) == pytest.approx(auc, abs=1e-12)


def test_auc_of_two_classes_with_equal_probs_agrees_with_scikit_learn():
    targets, probs = problem(0, n_classes=2)
    probs = probs.round(1)
    auc = sklearn_metrics.roc_auc_score(targets, probs[:, 1])
    assert METRICS["auc"].function(targets, probs, 2) == pytest.approx(auc, abs=1e-12)


def test_auc_leaves_empty_classes_out_and_is_a_half_where_none_is_left():
    targets, probs = problem(1, empty=(3,))
    parts = [sklearn_metrics.roc_auc_score(targets == k, probs[:, k]) for k in range(7) if k != 3]
    assert METRICS["auc"].function(targets, probs, 7) == pytest.approx(np.mean(parts))
    assert METRICS["auc"].function(np.zeros(4, int), probs[:4], 7) == 0.5


@pytest.mark.parametrize("k", [1, 3, 5])
def test_map_at_k_by_hand(k):
    targets, probs = problem(2)
    total = 0.0
    for target, row in zip(targets, probs, strict=True):
        best = sorted(range(7), key=lambda label: -row[label])[:k]
        total += 1 / (best.index(target) + 1) if target in best else 0.0
    assert find_metric(f"map@{k}").function(targets, probs, 7) == pytest.approx(total / len(targets))


@pytest.mark.parametrize("name", ["log-loss", "auc", "map@5"])
def test_row_values_average_to_the_score(name):
    targets, probs = problem(4)
    per_row = METRICS[name].per_row(targets, probs)
    assert per_row.shape == (200,)
    assert per_row.mean() == pytest.approx(METRICS[name].function(targets, probs, 7))


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].from_confusion])
def test_a_stack_of_confusions_gives_each_ones_score(name):
    stack = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    stack[0, 1], stack[0, :, 1] = 0, 0
    scores = METRICS[name].from_confusion(stack)
    assert scores.shape == (4,)
    assert scores == pytest.approx([float(METRICS[name].from_confusion(one)) for one in stack])


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_score_the_bound_and_one_class_alone_is_no_nan(name):
    metric, targets = METRICS[name], np.array([0, 1, 2, 1])
    best = metric.bounds[1] if metric.greater_is_better else metric.bounds[0]
    x = targets if metric.needs == "labels" else np.eye(4)[targets]
    assert metric.function(targets, x, 4) == pytest.approx(best, abs=1e-6)
    alone = np.zeros(3, int)
    assert np.isfinite(metric.function(alone, alone if metric.needs == "labels" else np.eye(4)[alone], 4))


def test_confusion_and_its_classes_agree_with_scikit_learn():
    targets, probs = problem(5)
    predictions = probs.argmax(1)
    confusion = confusion_matrix(targets, predictions, 7)
    assert (confusion == sklearn_metrics.confusion_matrix(targets, predictions)).all()
    assert f1_per_class(confusion) == pytest.approx(
        sklearn_metrics.f1_score(targets, predictions, average=None)
    )
    recall = sklearn_metrics.recall_score(targets, predictions, average=None)
    assert recall_per_class(confusion) == pytest.approx(recall)
    assert float(macro_f1_from_confusion(confusion)) == pytest.approx(f1_per_class(confusion).mean())


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(ValueError, match="predictions hold labels 0 to 3, allowed are 0 to 2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(ValueError, match="2 targets, but 1 predictions"):
        confusion_matrix(np.array([0, 1]), np.array([0]), 3)


def test_always_shown_metrics_agree_with_scikit_learn():
    targets, probs = problem(6, n=600)
    predictions = probs.argmax(1)
    shown = all_metrics(targets, probs, predictions)
    recalls = sklearn_metrics.recall_score(targets, predictions, average=None)
    order = np.argsort(-np.bincount(targets), kind="stable")
    assert shown["geometric-mean-recall"] == pytest.approx(recalls.prod() ** (1 / 7))
    assert shown["top-5"] == pytest.approx(sklearn_metrics.top_k_accuracy_score(targets, probs, k=5))
    assert shown["head-recall"] == pytest.approx(recalls[order[:2]].mean())
    assert shown["middle-recall"] == pytest.approx(recalls[order[2:5]].mean())
    assert shown["tail-recall"] == pytest.approx(recalls[order[5:]].mean())
    assert shown["macro-f1"] == pytest.approx(sklearn_metrics.f1_score(targets, predictions, average="macro"))


@pytest.mark.parametrize("targets", [[0, 0], [0, 1], [2, 2, 2, 1]])
def test_always_shown_metrics_hold_no_nan_with_few_classes(targets):
    targets = np.array(targets)
    shown = all_metrics(targets, np.full((len(targets), 4), 0.25), np.ones(len(targets), int))
    assert np.isfinite(list(shown.values())).all()


def test_an_unknown_metric_gets_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'macro-f1'"):
        find_metric("macro_f1")
    with pytest.raises(ValueError, match="map@k with any k"):
        find_metric("map@0")


def test_gain_points_the_right_way():
    assert METRICS["accuracy"].gain(0.8, 0.7) == pytest.approx(0.1)
    assert METRICS["log-loss"].gain(0.8, 0.7) == pytest.approx(-0.1)
