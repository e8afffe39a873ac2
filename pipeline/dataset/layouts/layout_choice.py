"""Which layout a data folder has, and the rows that its reader finds."""

from pathlib import Path

from pipeline import config
from pipeline.dataset.layouts import class_folders, competition_table, csv_file, index_lists
from pipeline.dataset.layouts.image_files import Found, Listing
from pipeline.errors import DataError

TABLE_KEYS = ("id_column", "label_column", "group_column", "time_column")


def read_found(data: config.Data, root: Path, listing: Listing) -> Found:
    """Return the rows of the configured layout, or of the one that the files are in.

    sample_submission.csv decides the test rows; labels that are known of them stay. Raises DataError as the
    layouts' readers do, and for columns of a train.csv that isn't there.
    """
    tables = competition_table.find_tables(listing)
    if data.layout == "table" or (data.layout == "auto" and tables.train is not None):
        rows, note = competition_table.read_rows(data, root, listing, tables)
        return Found("table", rows, note, {}, tables.sample)
    found = _without_table(data, root, listing)
    _check_columns(data, found.layout, sample=tables.sample is not None)
    if not found.rows or tables.sample is None:
        return found
    sample = csv_file.read(root / tables.sample)
    official = {row.path: row.label for row in found.rows if row.split == "test" and row.path}
    rows = [row for row in found.rows if row.split != "test"]
    for row in competition_table.sample_rows(data, root, listing, sample, "", {}):
        rows.append(row._replace(label=official.get(row.path, "")))
    return found._replace(rows=rows, sample=tables.sample)


def _without_table(data: config.Data, root: Path, listing: Listing) -> Found:
    lists = index_lists.find_lists(listing) if data.layout != "folders" else None
    joined = data.use_val == "train"
    if data.layout == "lists" and lists is None:
        raise DataError(f"{root} has no train.txt, which data.layout = 'lists' needs.")
    if lists is None:
        return class_folders.read_rows(root, listing)
    if data.layout == "lists" or index_lists.resolves(root, listing, lists):
        return index_lists.read_rows(root, listing, lists, joined)
    # The lists' images aren't where lists have them: in class folders, or nowhere.
    try:
        found = class_folders.read_rows(root, listing)
    except DataError:
        found = None
    if found is None or len({row.label for row in found.rows if row.split == "train"}) < 2:
        return index_lists.read_rows(root, listing, lists, joined)
    unused = f"; {lists.files['train']} isn't used: its names are no files of one folder"
    return found._replace(note=found.note + unused)


def _check_columns(data: config.Data, layout: str, sample: bool) -> None:
    for key in TABLE_KEYS:
        column = getattr(data, key)
        if column and not (sample and key == "id_column"):
            raise DataError(
                f"data.{key} = {column!r} names a column of train.csv, which the layout {layout} has not: set"
                " it to '', or write a train.csv with a row an image (id, such as ant/7.jpg, label, …), which"
                " then counts."
            )
