"""The pictures of files that grouping knows already: seen as they were cached, or kept from an earlier run.

They are a twentieth of the cache: without them grouping would read it all again, which takes longer than to
compare the pictures.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import writer
from pipeline.dataset.twins.phash import SIDE, grey32
from pipeline.dataset.twins.pictures import Pictures, no_pictures

KEPT_FROM = 1000  # pictures; fewer are read again in a second
BLOCK_ROWS = 512
PROBE = (np.arange(SIDE * SIDE * 3) * 41 % 251).astype(np.uint8).reshape(SIDE, SIDE, 3)


@dataclass
class Album:
    """Pictures by the sha256 of their files, all made alike; `path` is where they are kept.

    `place` tells where a file's picture is among those of all blocks; `waiting` holds `grey32` pictures that
    are no block yet; `changed` tells that these are not the pictures that are kept.
    """

    path: Path
    made_with: str
    blocks: list[Pictures] = field(default_factory=list)
    place: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, np.ndarray] = field(default_factory=dict)
    changed: bool = False

    def add(self, sha256: str, grey: np.ndarray) -> None:
        """Add the `grey32` picture of a file that may be known."""
        if sha256 not in self.place:
            self.waiting[sha256] = grey
        if len(self.waiting) >= BLOCK_ROWS:
            self._end_block()

    def arrange(self, sha256s: Sequence[str]) -> tuple[Pictures, np.ndarray]:
        """Hold these files' pictures alone, in this order; return them and the rows, int64, still to be put.

        Each sha256 is one of its own. What is put into the pictures returned is the album's too.
        """
        self._end_block()
        place = np.array([self.place.get(sha256, -1) for sha256 in sha256s], np.int64)
        arranged, order, begin = no_pictures(len(place)), np.argsort(place), 0
        while self.blocks:  # one at a time, so that little is held twice
            block = self.blocks.pop(0)
            first, last = np.searchsorted(place, (begin, begin + len(block.span)), sorter=order)
            rows = order[first:last]
            for name, array in vars(arranged).items():
                array[rows] = vars(block)[name][place[rows] - begin]
            begin += len(block.span)
        self.changed |= list(self.place) != list(sha256s)
        self.blocks, self.place = [arranged], {sha256: row for row, sha256 in enumerate(sha256s)}
        return arranged, np.flatnonzero(place < 0)

    def keep(self) -> None:
        """Publish what is arranged, if it is not what was kept; equal pictures give equal bytes."""
        if not self.changed or len(self.place) < KEPT_FROM:
            return
        names = np.array(list(self.place), np.bytes_)
        with writer.publish_stream(self.path) as stream:
            np.savez(stream, made_with=np.array(self.made_with), sha256s=names, **vars(self.blocks[0]))

    def _end_block(self) -> None:
        if self.waiting:
            block = no_pictures(len(self.waiting))
            block.put(slice(None), list(self.waiting.values()))
            begin = len(self.place)
            self.blocks.append(block)
            self.place |= {sha256: begin + row for row, sha256 in enumerate(self.waiting)}
            self.waiting.clear()
            self.changed = True


def open_album(path: Path, parameters: Mapping[str, Any]) -> Album:
    """Return the pictures that are kept in a file; none where they were made otherwise, or it is damaged.

    What this machine makes of a fixed picture is a parameter too: another processor may add in another order.
    """
    probe = no_pictures(1)
    probe.put(slice(None), [grey32(PROBE)])
    album = Album(path, json.dumps({**parameters, "probe": int(probe.name[0])}, sort_keys=True))
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            if str(kept["made_with"]) == album.made_with:
                block = Pictures(**{name: kept[name] for name in vars(probe)})
                album.place = {sha256.decode(): row for row, sha256 in enumerate(kept["sha256s"].tolist())}
                album.blocks = [block]
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile):
        return Album(path, album.made_with)
    return album
