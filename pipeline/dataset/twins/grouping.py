"""Which images belong together: the columns picture, in_group and crowd of the audit table.

Images of one picture are copies or near-duplicates; images of one group also share the user's group. A crowd
is a set of images alike that is too large to be one picture, and so isn't merged.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from pipeline.dataset.cache import Cache
from pipeline.dataset.twins import duplicates
from pipeline.dataset.twins.album import Album

VERSION = 2  # of hashes, thresholds and columns: another one groups again
COLUMNS = ("picture", "in_group", "crowd")
KEYS = ("split", "id", "sha256", "phash", "group")


def with_groups(
    audit: pd.DataFrame,
    images: Cache,
    before: pd.DataFrame | None,
    workers: int = 0,
    progress: Callable[[float, str], None] | None = None,
    album: Album | None = None,
) -> pd.DataFrame:
    """Return the audit table with COLUMNS, int64, −1 for images that can't be used and for no crowd.

    `images` holds the usable rows of `audit`. The numbers depend on ids, not on the order of rows. Where
    `before`, an earlier table of this VERSION, has the same images, its columns are taken over. Pictures that
    aren't in the album are read, and put there. They are compared by `workers` threads (0: one a core);
    progress(share done, text) is called as it goes. Raises Interrupted at a signal.
    """
    kept = _kept(audit, before)
    if kept is not None:
        return kept
    table = images.table.sort_values(["split", "id"])
    place = table.index.to_numpy()
    found = duplicates.find_groups(
        table["sha256"].tolist(),
        table["group"].tolist(),
        table["phash"].to_numpy(np.uint64),
        lambda row: duplicates.grey32(images.pixels(int(place[row]))),
        workers=workers,
        progress=progress,
        album=album,
    )
    crowd = np.full(len(table), -1, np.int64)
    for number, rows in enumerate(found.too_large):
        crowd[rows] = number
    usable = np.flatnonzero(audit["shard"] >= 0)
    columns = {}
    for name, values in zip(COLUMNS, (found.picture_of, found.group_of, crowd), strict=True):
        column = np.full(len(audit), -1, np.int64)
        column[usable[place]] = values
        columns[name] = column
    return audit.assign(**columns)


def _kept(audit: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame | None:
    if before is None or len(before) != len(audit) or not {*KEYS, *COLUMNS} <= set(before.columns):
        return None
    old, new = (table.sort_values(["split", "id"], kind="stable") for table in (before, audit))
    if any((old[name].to_numpy() != new[name].to_numpy()).any() for name in KEYS):
        return None
    columns = old[list(COLUMNS)].set_axis(new.index)
    return audit.join(columns)
