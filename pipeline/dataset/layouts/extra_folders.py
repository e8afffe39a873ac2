"""data.extra: folders with more labelled images, read as the competition's own and checked against it."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline import config
from pipeline.dataset.layouts import competition_table, csv_file
from pipeline.dataset.layouts.image_files import Listing, Row, escape_name, scan
from pipeline.dataset.layouts.layout_choice import TABLE_KEYS, read_found
from pipeline.errors import DataError


def find_extra(data: config.Data, root: Path) -> tuple[Path, ...]:
    """Return data.extra's folders; raises DataError for one that isn't there, or holds another or the root.

    A folder below the root is fine: it is left out where the competition's own images are listed.
    """
    folders = tuple(Path(name).expanduser() for name in data.extra)
    above: dict[str, str] = {os.path.realpath(root): f"the data folder {root}"}
    for folder in folders:
        if folder == Path() or not folder.is_dir():
            raise DataError(f"data.extra: {str(folder)!r} is no folder that is there: correct or remove it.")
        real = os.path.realpath(folder)
        for other, name in above.items():
            holds = _below(other, real)
            if holds or (name.startswith("data.extra") and _below(real, other)):
                raise DataError(
                    f"data.extra: {folder} and {name} overlap: images would count twice. Name each once."
                )
        above[real] = f"data.extra's {folder}"
    return folders


def read_extra(
    data: config.Data, folders: Sequence[Path], classes: Sequence[str], numbers: Collection[str]
) -> tuple[list[Row], str]:
    """Return the labelled images of all folders as rows of split "extra", and a note on those without label.

    Labels must be the competition's classes, letter by letter; `numbers` are what its own files write instead
    of them. An id is FOLDER/ID. Raises DataError for another label, and as the layouts' readers do.
    """
    rows: list[Row] = []
    unlabelled = 0
    known = set(classes)
    for number, folder in enumerate(folders, 1):
        listing = scan(folder)
        found = read_found(_own(data, folder, listing), folder, listing)
        labelled = [row for row in found.rows if row.label]
        if not labelled:
            raise DataError(
                f"data.extra: {folder} has no labelled images: what can be read is as in data.root."
            )
        unlabelled += len(found.rows) - len(labelled)
        name = escape_name(os.path.basename(os.path.abspath(folder)))  # noqa: PTH100, PTH119
        for row in labelled:
            if row.label not in known:
                raise DataError(_unknown(folder, row, classes, numbers))
            path, expected = row.path and f"{number}//{row.path}", row.expected and f"{folder}/{row.expected}"
            rows.append(row._replace(id=f"{name}/{row.id}", path=path, expected=expected, split="extra"))
    return rows, f"; images without a label in data.extra: {unlabelled:,}" if unlabelled else ""


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _own(data: config.Data, folder: Path, listing: Listing) -> config.Data:
    """Return the settings to read an extra folder with: the configured columns that its train.csv has."""
    train = competition_table.find_tables(listing).train
    columns = csv_file.read_columns(folder / train) if train else []
    id_column, label_column, group_column, time_column = (
        getattr(data, key) if getattr(data, key) in columns else "" for key in TABLE_KEYS
    )
    return config.Data(
        name=data.name,
        id_column=id_column,
        label_column=label_column,
        group_column=group_column,
        time_column=time_column,
    )


def _unknown(folder: Path, row: Row, classes: Sequence[str], numbers: Collection[str]) -> str:
    where = row.path or row.expected
    message = (
        f"data.extra: {folder}/{where} is labelled {row.label!r}, which is no class of the competition;"
        f" {csv_file.shown(classes)}."
    )
    if row.label in numbers:
        return f"{message} Its numbers may mean other classes: rename {row.label!r} to the class's name."
    return f"{message} Rename it, or leave those images out."
