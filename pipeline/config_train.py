"""The recipe of a training: [train] for all members, and each one's own; a field a line."""

from typing import Any, Literal

from pydantic.dataclasses import dataclass

from pipeline.config_doc import STRICT, doc

# Fields of [train] that say how and where a run is computed, not what it computes: no part of its digest.
MACHINE_FIELDS = ("workers", "device", "validate_epochs", "checkpoint_minutes", "max_minutes")
COUNTING_FIELDS = ("seeds", "refit")  # how many models are trained, not which: no part of it either


@dataclass(frozen=True, config=STRICT)
class Train:
    """[train], shared by all members, and [[members]] train.*, a member's own."""

    epochs: int = doc(10, "passes over the training rows; fixed, the schedule runs out", ge=1)
    batch: int = doc(32, "images a step", ge=1)
    micro_batch: int = doc(
        0, "images at once: a step's gradients are summed over pieces of its batch; 0 = the whole batch", ge=0
    )
    size: int = doc(224, "training images' side in pixels", ge=16)
    sizes: tuple[int, ...] = doc(
        (), "progressive resizing: sides for equal shares of the epochs, as [96, 128, 160]; none = size"
    )
    test_size: int = doc(0, "side at prediction; 0 = size", ge=0)
    test_crop: float = doc(
        1.0, "side of the central crop / short side of the image at prediction", gt=0, le=1
    )
    optimizer: str = doc("adamw", "any optimizer of timm by its name")
    momentum: float = doc(0.9, "of optimizers that have one", ge=0, lt=1)
    lr: float = doc(1e-3, "peak learning rate", gt=0)
    weight_decay: float = doc(0.05, "decay of weight matrices (not of biases and norms)", ge=0)
    layer_decay: float = doc(
        1.0, "learning rate of each layer group / that of the next one towards the classifier", gt=0, le=1
    )
    schedule: Literal["cosine", "one-cycle", "step", "plateau", "constant"] = doc(
        "cosine", "of the learning rate, after the warm-up"
    )
    warmup_epochs: float = doc(1.0, "epochs of rising learning rate before the schedule", ge=0)
    lr_steps: tuple[float, ...] = doc(
        (0.5, 0.75), "step: shares of the epochs after which the rate is multiplied by lr_factor"
    )
    lr_factor: float = doc(0.1, "step, plateau: the rate is multiplied by it", gt=0, lt=1)
    patience_epochs: int = doc(2, "plateau: epochs without a lower training loss before the rate falls", ge=1)
    head_epochs: int = doc(
        0,
        "before the epochs: passes of the classifier alone over features that are computed once a run, from"
        " images as they are predicted",
        ge=0,
    )
    freeze_epochs: int = doc(0, "first epochs in which the classifier alone is trained", ge=0)
    retrain_epochs: int = doc(
        0,
        "last epochs in which a new classifier alone is trained, on class-balanced batches (cRT); the"
        " schedule is run before them and again in them",
        ge=0,
    )
    train_stages: int = doc(0, "train the last n stages alone (the classifier counts as one); 0 = all", ge=0)
    loss: Literal[
        "cross-entropy", "focal", "class-weighted", "balanced-softmax", "logit-adjusted", "ldam", "bce"
    ] = doc("cross-entropy", "what is minimised")
    label_smoothing: float = doc(0.1, "share of the target spread over all classes", ge=0, lt=1)
    focal_gamma: float = doc(2.0, "focal: power of 1 − p that a row counts with", ge=0)
    class_beta: float = doc(
        0.999, "class-weighted, ldam: effective number (1 − βⁿ) / (1 − β) of a class of n rows", ge=0, lt=1
    )
    logit_tau: float = doc(1.0, "logit-adjusted: power of the classes' shares", ge=0)
    ldam_margin: float = doc(0.5, "ldam: the rarest class's margin, in cosines", ge=0)
    ldam_scale: float = doc(30.0, "ldam: what cosines are multiplied by", gt=0)
    reweight_share: float = doc(
        0.8, "ldam: share of the epochs after which classes are weighted as in class-weighted", ge=0, le=1
    )
    sampler: Literal["natural", "square-root", "class-balanced"] = doc(
        "natural", "how often a class is drawn: as it is, by the root of its rows, or as all others"
    )
    mixup: float = doc(0.0, "alpha of MixUp: two images of a batch laid over each other; 0 = off", ge=0)
    cutmix: float = doc(0.0, "alpha of CutMix: a rectangle of one pasted into the other; 0 = off", ge=0)
    mix_share: float = doc(1.0, "share of the steps that are mixed", ge=0, le=1)
    unmixed_epochs: int = doc(0, "last epochs without MixUp and CutMix", ge=0)
    clip_norm: float = doc(1.0, "gradients above this norm are scaled down; 0 = never", ge=0)
    dropout: float = doc(0.0, "dropout before the classifier", ge=0, lt=1)
    drop_path: float = doc(0.0, "stochastic depth: blocks left out, for models that have it", ge=0, lt=1)
    ema: bool = doc(True, "predict with the moving average of the weights (off under 100 steps)")
    select: Literal["last", "common", "best"] = doc(
        "last",
        "the weights a fold ends with; common = of one epoch for all folds, the best on average, a fold's own"
        " rows being scored by the others' best; best = of the epoch that its own rows like: it flatters",
    )
    stop_epochs: int = doc(
        0, "best: a fold ends after so many epochs without a better validation score; 0 = never early", ge=0
    )
    augment: Literal["none", "light", "medium", "heavy", "insects"] | tuple[dict[str, Any], ...] = doc(
        "light", "a recipe by name, or a list of Albumentations transforms with their arguments"
    )
    seed: int = doc(0, "another seed trains another model", ge=0)
    seeds: int = doc(
        1, "models a fold, trained with seed, seed + 1, …: their predictions are averaged as one member", ge=1
    )
    refit: bool = doc(
        False, "train one more model on all rows: no score of its own, joins the folds' on the test images"
    )
    teacher: str = doc(
        "",
        "another member's name: its models of fold k, which saw no label of that fold, teach this one's;"
        ' of a member, not of all; "" = none',
    )
    teacher_share: float = doc(
        0.5, "share of a labelled row's loss that is the teacher's, not the label's", gt=0, le=1
    )
    teacher_temperature: float = doc(
        2.0, "what both models' logits are divided by in the teacher's share of the loss", gt=0
    )
    pseudo: bool = doc(
        False, "train on the test images too, with the teacher's probabilities as their only target"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = doc(
        "auto", "autocast in training; auto = timed"
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = doc("auto", "of tensors; auto = timed")
    threads: int = doc(0, "CPU threads of torch; 0 = all cores; recorded once a run", ge=0)
    device: str = doc("auto", "auto, cpu, cuda, cuda:1, mps")
    workers: int = doc(-1, "processes that load batches; −1 = none without a GPU, else the cores", ge=-1)
    validate_epochs: int = doc(
        1, "epochs between looks at the validation rows, for the curves; 0 = at the end", ge=0
    )
    checkpoint_minutes: float = doc(5.0, "minutes between checkpoints within an epoch", gt=0)
    max_minutes: float = doc(0.0, "stop with a checkpoint after so many minutes; 0 = never", ge=0)


def retrains(train: Train, epoch: int) -> bool:
    """Tell whether an epoch, counted from 0, is one of those that train a new classifier alone.

    >>> [retrains(Train(epochs=4, retrain_epochs=1), epoch) for epoch in range(4)]
    [False, False, False, True]
    """
    return train.epochs - train.retrain_epochs <= epoch < train.epochs


def train_side(train: Train, epoch: int) -> int:
    """Return the side in pixels of the images that an epoch trains on.

    >>> [train_side(Train(epochs=5, sizes=(96, 128, 160)), epoch) for epoch in range(5)]
    [96, 96, 128, 128, 160]
    """
    return train.sizes[epoch * len(train.sizes) // train.epochs] if train.sizes else train.size


def final_side(train: Train) -> int:
    """Return the side that training ends with, which the model is made for and timed at.

    >>> final_side(Train(size=160)), final_side(Train(sizes=(96, 128)))
    (160, 128)
    """
    return train_side(train, train.epochs - 1)


def largest_side(train: Train) -> int:
    """Return the largest side that is trained on."""
    return max(train.sizes, default=train.size)


def sides_of(train: Train) -> str:
    """Name the sides that are trained on, for people.

    >>> sides_of(Train(size=160)), sides_of(Train(sizes=(96, 128)))
    ('160', '96–128')
    """
    return "–".join(dict.fromkeys(str(train_side(train, epoch)) for epoch in (0, train.epochs - 1)))


def predict_side(train: Train) -> int:
    """Return the side in pixels of the images that a member predicts on: by default that it ends with."""
    return train.test_size or final_side(train)
