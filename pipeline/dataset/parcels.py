"""Results of other processes, their arrays in shared memory: a pipe would copy them five times, in 64 KB.

The memory is cut into slots, one for each result that is under way; an array that finds no room in its slot
goes through the pipe. All pages are there from the start, so that none can be missing when it is written.
"""

import multiprocessing
import multiprocessing.context
import pickle
from typing import Any, NamedTuple

import numpy as np

SLOT_BYTES = 8 << 20  # 16 pictures of 300 x 400 pixels take 6 MB


class Parcel(NamedTuple):
    """A pickled result without those of its arrays that are in the slot, and their sizes in bytes."""

    pickled: bytes
    sizes: list[int]


def new_slots(count: int, context: multiprocessing.context.BaseContext) -> Any:
    """Return memory that `context` can hand to the processes that it starts, for `slot_of`."""
    return context.RawArray("B", count * SLOT_BYTES)


def slot_of(slots: Any, number: int) -> np.ndarray:
    """Return a slot: uint8 [SLOT_BYTES], to be read and written."""
    return np.frombuffer(slots, np.uint8, SLOT_BYTES, number * SLOT_BYTES)


def pack(result: object, slot: np.ndarray) -> Parcel:
    """Pickle a result, its contiguous arrays apart in the slot as far as there is room.

    >>> slot = np.zeros(5, np.uint8)
    >>> parcel = pack([np.arange(4, dtype=np.uint8), np.ones(2, np.uint8)], slot)
    >>> parcel.sizes, slot.tolist(), unpack(parcel, slot)
    ([4], [0, 1, 2, 3, 0], [array([0, 1, 2, 3], dtype=uint8), array([1, 1], dtype=uint8)])
    """
    sizes: list[int] = []

    def stays_in_the_pickle(buffer: pickle.PickleBuffer) -> bool:
        content = np.frombuffer(buffer.raw(), np.uint8)
        begin = sum(sizes)
        if begin + len(content) > len(slot):
            return True
        slot[begin : begin + len(content)] = content
        sizes.append(len(content))
        return False

    return Parcel(pickle.dumps(result, protocol=5, buffer_callback=stays_in_the_pickle), sizes)


def unpack(parcel: Parcel, slot: np.ndarray) -> Any:
    """Return the result, with copies of the arrays, so that the slot is free again."""
    ends = np.cumsum(parcel.sizes, dtype=np.int64)
    arrays = [slot[end - size : end].copy() for size, end in zip(parcel.sizes, ends, strict=True)]
    return pickle.loads(parcel.pickled, buffers=arrays)
