"""The layout `folders`: a folder a class, with or without folders train, val and test above them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.dataset.image_files import (
    TEST_WORDS,
    TRAIN_WORDS,
    Listing,
    Row,
    escape_name,
    is_image,
    natural_key,
)
from pipeline.errors import DataError

VALID_WORDS = {"val", "valid", "validation", "dev"}
Parts = tuple[str, ...]


def read_rows(root: Path, listing: Listing) -> tuple[list[Row], str]:
    """Return the images by class, train first, and a note on what was left out; no rows without a class.

    A training image's id is its relative path with the suffix, a flat test folder's its file name. Images
    of a validation folder join the training rows. Raises DataError for images deeper than their class.
    """
    images = [PurePosixPath(name).parts for name in listing.files if is_image(name)]
    base = _base(images)
    inside = [parts for parts in images if parts[: len(base)] == base]
    has_splits = _has_splits(inside, base)
    labelled, test, loose = _sort_out(inside, base, has_splits)
    deep = next((parts for parts in labelled if len(parts) > len(base) + has_splits + 2), None)
    if deep is not None:
        raise DataError(
            f"{root / '/'.join(deep)} lies deeper than its class folder {deep[len(base) + has_splits]!r}:"
            " move the images up, or point data.root at the folder that holds the class folders."
        )
    train = sorted(labelled, key=lambda parts: (natural_key(parts[-2]), natural_key("/".join(parts))))
    classes = {parts[-2] for parts in train}
    if not has_splits and classes and classes <= TRAIN_WORDS | VALID_WORDS:
        raise DataError(
            f"{root / '/'.join(base)}: the images in {', '.join(sorted(classes))} have no labels:"
            " there is neither a train.csv nor a folder a class."
        )
    rows = [_row(parts, "/".join(parts), parts[-2], "train") for parts in train]
    flat = all(len(parts) == len(base) + 2 for parts in test)
    test.sort(key=lambda parts: natural_key("/".join(parts)))
    rows += [_row(parts, parts[-1] if flat else "/".join(parts), "", "test") for parts in test]
    return rows if train else [], _note(loose, _empty_classes(listing, base, has_splits, classes))


def _base(images: Sequence[Parts]) -> Parts:
    """Return the folder that holds the splits or else the classes, below folders that only wrap them."""
    splits = {parts[:n] for parts in images for n in range(len(parts) - 2) if parts[n].lower() in TRAIN_WORDS}
    highest = [base for base in splits if len(base) == min(map(len, splits))]
    if len(highest) == 1:
        return highest[0]
    base: Parts = ()
    while len({parts[: len(base) + 1] for parts in images}) == 1 and len(images[0]) > len(base) + 2:
        base = images[0][: len(base) + 1]
    return base


def _has_splits(images: Sequence[Parts], base: Parts) -> bool:
    """Tell whether a folder train with folders of images in it lies in `base`."""
    n = len(base)
    return any(
        len(parts) > n + 2 and parts[:n] == base and parts[n].lower() in TRAIN_WORDS for parts in images
    )


def _sort_out(images: Sequence[Parts], base: Parts, has_splits: bool) -> tuple[list[Parts], list[Parts], int]:
    """Return the labelled images, the test images, and how many belong to neither."""
    labelled, test = [], []
    for parts in images:
        top, depth = parts[len(base)].lower(), len(parts) - len(base)
        if depth > 1 and top in TEST_WORDS:
            test.append(parts)
        elif depth > 1 + has_splits and (not has_splits or top in TRAIN_WORDS | VALID_WORDS):
            labelled.append(parts)
    return labelled, test, len(images) - len(labelled) - len(test)


def _empty_classes(listing: Listing, base: Parts, has_splits: bool, classes: set[str]) -> list[str]:
    folders = [PurePosixPath(name).parts for name in listing.folders]
    if has_splits:
        folders = [
            parts for parts in folders if parts[len(base) : len(base) + 1] and _is_train(parts[len(base)])
        ]
    depth = len(base) + has_splits + 1
    names = {parts[-1] for parts in folders if len(parts) == depth and parts[: len(base)] == base}
    return sorted(names - classes - TEST_WORDS, key=natural_key)


def _is_train(folder: str) -> bool:
    return folder.lower() in TRAIN_WORDS | VALID_WORDS


def _row(parts: Parts, name: str, label: str, split: str) -> Row:
    return Row(escape_name(name), escape_name("/".join(parts)), "", escape_name(label), split, "")


def _note(loose: int, empty: Sequence[str]) -> str:
    note = f"; images outside the class folders: {loose:,}" if loose else ""
    if empty:
        note += f"; folders without images: {len(empty):,} ({', '.join(map(escape_name, empty[:5]))})"
    return note
