"""Data folders of empty images and small text files, and what is read from them, for the tests of layouts."""

from pathlib import Path

from pipeline import config
from pipeline.dataset.layouts.table import Table, read_table


def make(root: Path, *names: str, **texts: str | bytes) -> Path:
    """Put empty files and text files under the root; `train_csv="…"` becomes train.csv, `_txt` likewise."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in texts.items():
        data = text.encode() if isinstance(text, str) else text
        (root / name.replace("_csv", ".csv").replace("_txt", ".txt")).write_bytes(data)
    return root


def read(root: Path, **fields: object) -> Table:
    """Read the data folder with these fields of [data]."""
    return read_table(config.Data(name="x", **fields), root)  # type: ignore[arg-type]


def column(table: Table, name: str, split: str = "train") -> list[str]:
    """Return a column of one split."""
    return table.frame.loc[table.frame["split"] == split, name].tolist()
