"""What can be configured: frozen dataclasses, a field a line with its default and meaning; run digests."""

import dataclasses
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from pipeline.config_doc import STRICT, doc
from pipeline.config_train import COUNTING_FIELDS, MACHINE_FIELDS, Train

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # of folders and files, so never "." or ".."


@dataclass(frozen=True, config=STRICT)
class Drawn:
    """[data.drawn]: draw the built-in sample competition into the data folder."""

    classes: int = doc(12, "species", ge=2)
    images: int = doc(700, "images, train and test together", ge=20)
    seed: int = doc(0, "another seed draws another competition", ge=0)


@dataclass(frozen=True, config=STRICT)
class Data:
    """[data]: the competition, where its files are and how it scores."""

    name: str = doc(..., "the competition's name: of its folders, folds and files", pattern=NAME)
    root: str = doc("", 'folder of the competition\'s files; "" = the data folder + name')
    layout: Literal["auto", "folders", "lists", "table"] = doc("auto", "how images and labels are laid out")
    use_val: Literal["train", "holdout"] = doc(
        "train", "an official validation split: joins the training rows, or is only scored at the end"
    )
    extra: tuple[str, ...] = doc(
        (), "folders with more labelled images: in every training fold, never scored"
    )
    metric: str = doc("macro-f1", "the competition's metric")
    kaggle: str = doc("", 'the competition\'s slug on Kaggle, to download from and submit to; "" = neither')
    kaggle_dataset: str = doc("", 'a public Kaggle data set to download, as OWNER/NAME; "" = none')
    public_share: float = doc(
        0.0,
        "share of the test rows behind the public score, as the competition's leaderboard page says;"
        " 0 = unknown, then all test rows are assumed, the least that the public score can vary",
        ge=0,
        le=1,
    )
    drawn: Drawn | None = doc(None, "draw the sample competition with these numbers")
    id_column: str = doc("", 'column of the image ids in train.csv; "" = found out')
    label_column: str = doc("", 'column of the labels in train.csv; "" = found out')
    group_column: str = doc("", 'column of train.csv whose equal values stay in one fold; "" = none')
    time_column: str = doc(
        "", 'column of train.csv with times (numbers or dates) for folds.kind = "time"; "" = none'
    )
    unreadable: Literal["error", "skip"] = doc("error", "images that can't be read: stop, or leave them out")
    max_pixels: int = doc(64_000_000, "images with more pixels are refused before decoding", ge=1)


@dataclass(frozen=True, config=STRICT)
class Cache:
    """[cache]: the decoded images on disk."""

    short_side: int = doc(0, "pixels of the cached images' short side; 0 = what the members need", ge=0)
    codec: Literal["auto", "raw", "jpeg"] = doc(
        "auto",
        "cached pixels as they are, or as JPEG q95 where disk is short; auto = raw if twice its size is free",
    )
    workers: int = doc(0, "processes that read images; 0 = one a core", ge=0)


@dataclass(frozen=True, config=STRICT)
class Folds:
    """[folds]: the one split that every member uses."""

    count: int = doc(5, "folds", ge=2)
    seed: int = doc(0, "another seed shuffles otherwise", ge=0)
    kind: Literal["auto", "stratified", "grouped", "time"] = doc(
        "auto",
        "grouped: by class, duplicates and groups kept whole; stratified: by class alone; time: fold k is"
        " trained on what came before it; auto = time with a data.time_column, else grouped",
    )
    file: str = doc("", 'your own assignment, a CSV file with columns id and fold; "" = none')


@dataclass(frozen=True, config=STRICT)
class Member:
    """[[members]]: one model with its recipe, the ensemble's unit."""

    name: str = doc(..., "the member's name; default: the model's", pattern=NAME)
    model: str = doc(..., "any timm architecture", min_length=1)
    weights: str = doc("auto", "auto (hub, package, random), hub, package, random, or a .safetensors file")
    train: Train = doc(Train(), "the recipe")
    # What train.teacher names, so that a member alone says what it learns from; no key of its own.
    teacher: "Member | None" = doc(None, "", exclude=True)


View = Literal["identity", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose"]


@dataclass(frozen=True, config=STRICT)
class Predict:
    """[predict]: test-time augmentation."""

    views: tuple[View, ...] = doc(("identity", "hflip"), "views of each image, averaged", min_length=1)
    batch: int = doc(64, "images a prediction step", ge=1)


BlendName = Literal["uniform", "arithmetic", "geometric", "greedy", "greedy-metric", "rank"]
RuleName = Literal[
    "argmax", "macro-f1", "weighted-f1", "balanced-accuracy", "quadratic-kappa", "logit-adjustment"
]


@dataclass(frozen=True, config=STRICT)
class Ensemble:
    """[ensemble]: what is blended, and among which blends and rules the cross-fitted scores choose."""

    members: tuple[str, ...] = doc(
        (), "names of what is blended: members, runs, predictions made elsewhere; none = all but other runs"
    )
    all_runs: bool = doc(False, "blend every run that has the same folds, not only the members' own")
    blends: tuple[BlendName, ...] = doc(
        (),
        "blends to choose among, the simplest first; none = uniform, arithmetic, geometric (auc: and rank)",
    )
    rules: tuple[RuleName, ...] = doc(
        (), "decision rules to choose among, the preferred ones first; none = what the metric asks for"
    )
    pull: float = doc(50.0, "pseudo-counts that draw fitted weights to equal ones; 0 = none", ge=0)
    balanced: tuple[str, ...] = doc(
        (), "members made elsewhere by a training that balanced the classes: their shares are given back"
    )
    transductive: bool = doc(False, "solve the F1 and kappa rules on the very rows that they label")


@dataclass(frozen=True, config=STRICT)
class Tune:
    """[tune]: the search for a member's recipe, by `python -m pipeline.tune`."""

    member: str = doc("", 'the member whose recipe is searched; "" = the first')
    trials: int = doc(20, "recipes that are tried", ge=1)
    seed: int = doc(0, "another seed tries other recipes", ge=0)
    prune: bool = doc(True, "end a trial early whose validation score is under the median of the others'")
    space: dict[str, Any] = doc(
        {},
        "what is searched: fields of [train], each with a list of choices or {low, high}, perhaps with log"
        " or step; {} = lr, weight_decay, label_smoothing, mixup and augment",
    )


@dataclass(frozen=True, config=STRICT)
class Paths:
    """[paths]: folders, from the current one; inputs may be read-only, these may not."""

    data: str = doc("data", "competitions' files and the cache")
    runs: str = doc("runs", "models, predictions, reports")
    folds: str = doc("folds", "fold assignments")
    submissions: str = doc("submissions", "submissions and their ledger")


@dataclass(frozen=True, config=STRICT)
class Config:
    """Everything that is set; `data` and `members` have no default."""

    data: Data
    members: tuple[Member, ...] = doc(..., "what is trained and blended", min_length=1)
    folds: Folds = doc(Folds(), "")
    predict: Predict = doc(Predict(), "")
    ensemble: Ensemble = doc(Ensemble(), "")
    cache: Cache = doc(Cache(), "")
    tune: Tune = doc(Tune(), "")
    paths: Paths = doc(Paths(), "")


def trainings(member: Member) -> list[Member]:
    """Return the member once a seed: what is trained, each a run of its own.

    >>> [one.train.seed for one in trainings(Member(name="a", model="resnet50", train=Train(seeds=3)))]
    [0, 1, 2]
    """
    seeds = range(member.train.seed, member.train.seed + member.train.seeds)
    return [dataclasses.replace(member, train=dataclasses.replace(member.train, seed=seed)) for seed in seeds]


def teachers(member: Member) -> list[Member]:
    """Return the member's teacher, that one's own, and so on; none for a member without.

    >>> first = Member(name="a", model="resnet50")
    >>> [one.name for one in teachers(Member(name="b", model="resnet18", teacher=first))]
    ['a']
    """
    return [] if member.teacher is None else [member.teacher, *teachers(member.teacher)]


def title(training: Member) -> str:
    """Name one training of a member: with its seed, where there are several.

    >>> title(trainings(Member(name="a", model="resnet50", train=Train(seeds=2)))[1])
    'a seed 1'
    """
    return f"{training.name} seed {training.train.seed}" if training.train.seeds > 1 else training.name


def model_title(training: Member, fold: int | None) -> str:
    """Name one model of a training: its fold's, or with None the one of all rows.

    >>> one = Member(name="a", model="resnet50")
    >>> model_title(one, 3), model_title(one, None)
    ('a fold 3', 'a refit')
    """
    return f"{title(training)} refit" if fold is None else f"{title(training)} fold {fold}"


def recipe(member: Member) -> dict[str, Any]:
    """Return what the member's training depends on, as flat names: fields that differ from their defaults.

    A release with new fields makes no run stale; MACHINE_FIELDS and COUNTING_FIELDS never count.

    >>> recipe(Member(name="a", model="resnet50", train=Train(epochs=3, workers=2)))
    {'model': 'resnet50', 'train.epochs': 3}
    """
    fields: dict[str, Any] = {"model": member.model}
    if member.weights != "auto":
        fields["weights"] = member.weights
    for item in dataclasses.fields(Train):
        value = getattr(member.train, item.name)
        if item.name not in MACHINE_FIELDS + COUNTING_FIELDS and value != getattr(Train(), item.name):
            fields[f"train.{item.name}"] = value
    return fields
