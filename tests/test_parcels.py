import functools
import multiprocessing

import numpy as np
import pytest

from pipeline.dataset import audit, parcels
from pipeline.dataset.parcels import new_slots, pack, slot_of, unpack

RNG = np.random.default_rng(0)
ARRAYS = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((30, 40, 3), (7,), (0, 3), (50, 2, 3))]


def test_arrays_go_through_the_slot_and_outlive_it():
    slot = np.zeros(10_000, np.uint8)
    sent = [
        ("a", ARRAYS[0]),
        ("b", None),
        ("c", ARRAYS[1]),
        ("d", ARRAYS[2]),
        ("e", ARRAYS[3].astype(np.float32)),
    ]
    parcel = pack(sent, slot)
    assert parcel.sizes == [3600, 7, 0, 1200]
    assert len(parcel.pickled) < 1000
    got = unpack(parcel, slot)
    slot[:] = 255
    assert [name for name, _ in got] == ["a", "b", "c", "d", "e"]
    for (_, array), (_, golden) in zip(got, sent, strict=True):
        if golden is not None:
            np.testing.assert_array_equal(array, golden)
            assert array.dtype == golden.dtype
            array[...] = 0  # its own, to be written


@pytest.mark.parametrize("room", [0, 7, 3599, 3607, 4000])
def test_what_finds_no_room_is_pickled(room):
    slot = np.zeros(room, np.uint8)
    parcel = pack(ARRAYS, slot)
    assert sum(parcel.sizes) <= room
    for array, golden in zip(unpack(parcel, slot), ARRAYS, strict=True):
        np.testing.assert_array_equal(array, golden)


def test_arrays_that_are_views_are_sent_as_they_look():
    view = ARRAYS[0][::2, 5:, ::-1]
    slot = np.zeros(10_000, np.uint8)
    np.testing.assert_array_equal(unpack(pack(view, slot), slot), view)


def test_slots_are_apart():
    slots = new_slots(3, multiprocessing.get_context("spawn"))
    for number in range(3):
        slot_of(slots, number)[:] = number + 1
    for number in range(3):
        assert len(slot_of(slots, number)) == parcels.SLOT_BYTES
        assert (slot_of(slots, number) == number + 1).all()


def drawn(side, name):
    number = int(name)
    return name, np.full((side, number % 5, 3), number % 251, np.uint8)


@pytest.mark.parametrize("side", [30, 150_000])
def test_many_results_of_processes_come_in_order_and_whole(side, monkeypatch):
    # of 150,000 pixels four fill a slot, so that most go through the pipe
    monkeypatch.setattr(audit, "POOL_SECONDS", -1.0)
    names = [str(i) for i in range(700 if side == 30 else 40)]
    count = 0
    for name, (told, array) in zip(
        names, audit.each_image(functools.partial(drawn, side), names, 2), strict=True
    ):
        assert told == name
        np.testing.assert_array_equal(array, drawn(side, name)[1])
        count += 1
    assert count == len(names)
