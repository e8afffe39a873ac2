"""What a recipe does to the classes' shares: balance once, never twice, and know what to take back.

A training that balances believes in shares (a prior) of its own: the data's to some power, 0 where all
classes count the same. Loss and sampler each take from that power, 1 where nothing is balanced.
"""

from pipeline.config_train import Train, retrains
from pipeline.errors import UsageError

# The power of its rows that a class is drawn with; and of its share that a plain loss then believes in.
SAMPLER_POWERS = {"natural": 1.0, "square-root": 0.5, "class-balanced": 0.0}


def check_balance(train: Train) -> None:
    """Refuse a sampler that balances beside a loss that does: rare classes would be paid for twice.

    Raises UsageError, also for an ldam that too few epochs keep from re-weighting: it is asked to; and for
    retrain_epochs, which balance, beside either, or where the chosen epoch may come before them.

    >>> check_balance(Train(sampler="square-root", loss="focal"))
    >>> check_balance(Train(sampler="class-balanced", loss="balanced-softmax"))
    Traceback (most recent call last):
    pipeline.errors.UsageError: train.sampler = "class-balanced" and train.loss = "balanced-softmax" \
both balance the classes: rare ones would be balanced twice. Keep one of them, with \
train.sampler=natural or with train.loss=cross-entropy.
    """
    plain = _without_balance(train)
    if train.retrain_epochs:
        _check_retraining(train, plain)
    if train.sampler != "natural" and plain:
        raise UsageError(
            f'train.sampler = "{train.sampler}" and train.loss = "{train.loss}" both balance the classes: '
            "rare ones would be balanced twice. Keep one of them, with train.sampler=natural or with "
            f"{plain}."
        )


def _check_retraining(train: Train, plain: str) -> None:
    if train.retrain_epochs >= train.epochs:
        raise UsageError(
            f"train.retrain_epochs = {train.retrain_epochs} of train.epochs = {train.epochs}: no epoch is "
            "left that trains the features."
        )
    if train.sampler != "natural" or plain:
        raise UsageError(
            "train.retrain_epochs balances the classes by itself, after epochs that see them as they are: "
            f"rare ones would be balanced twice. Keep it with {plain or 'train.sampler=natural'}."
        )
    if train.select != "last":
        raise UsageError('train.retrain_epochs needs train.select = "last": the classifier comes last.')


def trained_power(train: Train) -> float:
    """Return the power of the classes' shares that the predictions of such a training believe in.

    Probabilities p for data with these shares are then p · shares^(1 − power), scaled to sum to one (Saerens
    et al. 2002; score.prior.restore_shares). Exact, as a posterior goes, for the samplers,
    balanced-softmax and logit-adjusted. Approximate for class-weighted and a re-weighted ldam: the weights
    (1 − β) / (1 − βⁿ) follow 1/n for classes far under 1 / (1 − β) rows and are equal far above, and ldam has
    margins besides, so their 0 takes back too much where all classes have many rows.

    >>> recipes = Train(), Train(sampler="square-root"), Train(loss="logit-adjusted", logit_tau=0.75)
    >>> [trained_power(recipe) for recipe in recipes]
    [1.0, 0.5, 0.25]
    >>> trained_power(Train(retrain_epochs=2))
    0.0
    """
    return power_at(train, train.epochs - 1)


def power_at(train: Train, epoch: int) -> float:
    """Return the power of the classes' shares that an epoch, counted from 0, teaches to believe in.

    >>> [power_at(Train(epochs=4, retrain_epochs=1), epoch) for epoch in range(4)]
    [1.0, 1.0, 1.0, 0.0]
    """
    sampler = "class-balanced" if retrains(train, epoch) else train.sampler
    return SAMPLER_POWERS[sampler] - _taken_by_loss(train, epoch)


def reweights(train: Train, progress: float) -> bool:
    """Tell whether ldam weights the classes once this share of the epochs is over.

    >>> [reweights(Train(loss="ldam", reweight_share=0.8), epoch / 5) for epoch in range(5)]
    [False, False, False, False, True]
    """
    return progress >= train.reweight_share


def _without_balance(train: Train) -> str:
    """Return the setting with which a balancing loss no longer balances; "" for one that doesn't."""
    asked = {
        "class-weighted": "train.loss=cross-entropy" if train.class_beta else "",
        "balanced-softmax": "train.loss=cross-entropy",
        "logit-adjusted": "train.logit_tau=0" if train.logit_tau else "",
        "ldam": "train.reweight_share=1" if train.reweight_share < 1 and train.class_beta else "",
    }
    return asked.get(train.loss, "")


def _taken_by_loss(train: Train, epoch: int) -> float:
    """Return what the loss takes from the power of the shares in an epoch."""
    if not _without_balance(train):
        return 0.0
    if train.loss == "logit-adjusted":
        return train.logit_tau
    if train.loss == "ldam":
        return float(reweights(train, epoch / train.epochs))
    return 1.0
