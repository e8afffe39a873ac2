"""The layout `folders`: a folder a class, with or without folders train, val and test above them."""

from collections.abc import Collection
from pathlib import Path

from pipeline.dataset.layouts import class_names
from pipeline.dataset.layouts.image_files import (
    TEST_WORDS,
    TRAIN_WORDS,
    VALID_WORDS,
    Found,
    Listing,
    Row,
    by_folder,
    escape_name,
    is_image,
    natural_key,
)
from pipeline.errors import DataError

Parts = tuple[str, ...]
Images = dict[Parts, list[str]]  # the images right inside a folder, by the parts of its path


def read_rows(root: Path, listing: Listing) -> Found:
    """Return the images by class, train and val together, then test; no rows without a class.

    An image's id is its relative path with the suffix, a flat test folder's its file name. Classes that are
    all numbers get their names from a classes.txt of that length. Raises DataError for images deeper than
    their class, and for a class that only some of the test folders are.
    """
    found = by_folder(filter(is_image, listing.files))
    images = {tuple(folder.split("/")) if folder else (): names for folder, names in found.items()}
    base = _base(images)
    inside = {parts: names for parts, names in images.items() if parts[: len(base)] == base}
    has_splits = _has_splits(inside, base)
    labelled, test = _sort_out(inside, base, has_splits)
    classes = _classes(root, base, labelled, has_splits)
    known, note = _test_classes(root, base, test, classes)
    empty = _empty_classes(listing, base, has_splits, classes)
    names, unfit = _names(root, listing, base, {*classes, *known, *empty})
    rows = []
    for parts in sorted(labelled, key=lambda parts: natural_key(parts[-1])):
        split = "val" if has_splits and _in(parts[len(base)], VALID_WORDS) else "train"
        label = names.get(parts[-1]) or escape_name(parts[-1])
        rows += [_row(name, name, label, split) for name in labelled[parts]]
    flat = all(len(parts) == len(base) + 1 for parts in test)
    for parts, paths in test.items():
        labelled_test = len(parts) == len(base) + 2 and parts[-1] in known
        label = (names.get(parts[-1]) or escape_name(parts[-1])) if labelled_test else ""
        rows += [_row(name.rpartition("/")[2] if flat else name, name, label, "test") for name in paths]
    loose = sum(map(len, images.values())) - len(rows)
    note += f"; images outside the class folders: {loose:,}" if loose else ""
    if empty:
        note += f"; folders without images: {len(empty):,} ({', '.join(map(escape_name, empty[:5]))})"
    return Found("folders", rows if labelled else [], note + unfit, names)


def _base(images: Images) -> Parts:
    """Return the folder that holds the splits or else the classes, below folders that only wrap them."""
    splits = {parts[:n] for parts in images for n in range(len(parts) - 1) if _in(parts[n], TRAIN_WORDS)}
    highest = [base for base in splits if len(base) == min(map(len, splits))]
    if len(highest) == 1:
        return highest[0]
    base: Parts = ()
    while len({parts[: len(base) + 1] for parts in images}) == 1 and len(next(iter(images))) > len(base) + 1:
        base = next(iter(images))[: len(base) + 1]
    return base


def _has_splits(images: Images, base: Parts) -> bool:
    """Tell whether a folder train with folders of images in it lies in `base`."""
    n = len(base)
    return any(len(parts) > n + 1 and _in(parts[n], TRAIN_WORDS) for parts in images)


def _sort_out(images: Images, base: Parts, has_splits: bool) -> tuple[Images, Images]:
    """Return the folders of labelled and those of test images; there may be others."""
    labelled, test, n = {}, {}, len(base)
    for parts, names in images.items():
        if len(parts) > n and _in(parts[n], TEST_WORDS):
            test[parts] = names
        elif len(parts) > n + has_splits and (not has_splits or _in(parts[n], TRAIN_WORDS | VALID_WORDS)):
            labelled[parts] = names
    return labelled, test


def _classes(root: Path, base: Parts, labelled: Images, has_splits: bool) -> set[str]:
    """Return the names of the class folders; raises DataError where images lie deeper, or not in classes."""
    deep = next((parts for parts in labelled if len(parts) > len(base) + has_splits + 1), None)
    if deep is not None:
        raise DataError(
            f"{root / labelled[deep][0]} lies deeper than its class folder {deep[len(base) + has_splits]!r}:"
            " move the images up, or point data.root at the folder that holds the class folders."
        )
    classes = {parts[-1] for parts in labelled}
    if not has_splits and classes and classes <= TRAIN_WORDS | VALID_WORDS:
        raise DataError(
            f"{root / '/'.join(base)}: the images in {', '.join(sorted(classes))} have no labels:"
            " there is neither a train.csv nor a folder a class."
        )
    return classes


def _test_classes(root: Path, base: Parts, test: Images, classes: set[str]) -> tuple[set[str], str]:
    """Return the classes that are folders of the test folder; a note where its folders are something else."""
    folders = {parts[-1]: parts for parts in test if len(parts) == len(base) + 2}
    strange = sorted(folders.keys() - classes, key=natural_key)
    if len(folders) < 2:
        return set(), ""  # one folder, as loaders want it: it says nothing
    if not strange:
        return set(folders), ""
    if len(strange) < len(folders):
        where = root / "/".join(folders[strange[0]])
        raise DataError(
            f"{where}: no training image has the class {strange[0]!r}, while other folders beside it are"
            " classes: rename it, or move its images up where they have no label."
        )
    return set(), "; the folders of test are no classes, so its labels are unknown"


def _empty_classes(listing: Listing, base: Parts, has_splits: bool, classes: set[str]) -> list[str]:
    folders = [tuple(name.split("/")) for name in listing.folders]
    if has_splits:
        folders = [
            parts
            for parts in folders
            if len(parts) > len(base) and _in(parts[len(base)], TRAIN_WORDS | VALID_WORDS)
        ]
    depth = len(base) + has_splits + 1
    names = {parts[-1] for parts in folders if len(parts) == depth and parts[: len(base)] == base}
    return sorted(names - classes - TEST_WORDS, key=natural_key)


def _names(root: Path, listing: Listing, base: Parts, numbers: Collection[str]) -> tuple[dict[str, str], str]:
    """Return the names of classes that are numbers, of the nearest classes.txt, or a note why it has none."""
    above = ["/".join((*base[:n], class_names.FILE)) for n in range(len(base), -1, -1)]
    file = next((name for name in above if name in listing.files), None)
    if file is None or not all(map(class_names.is_number, numbers)):
        return {}, ""
    try:
        names = class_names.read_class_names(root / file)
    except DataError as error:
        return {}, f"; no class names: {error}"
    found = class_names.by_number(names, numbers)
    if found is None:
        shown = sorted(numbers, key=natural_key)
        unfit = f"{len(names)} names, {len(shown)} class folders {shown[0]} … {shown[-1]}"
        return {}, f"; {file} isn't used: {unfit}"
    return found, f"; names of {file}"


def _in(folder: str, words: Collection[str]) -> bool:
    return folder.lower() in words


def _row(name: str, path: str, label: str, split: str) -> Row:
    return Row(escape_name(name), escape_name(path), "", label, split, "")
