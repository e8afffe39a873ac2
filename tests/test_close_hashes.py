"""Close hashes: every pair that trying all finds, and no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.twins import close_hashes as module
from pipeline.dataset.twins.close_hashes import close_hashes, index_hashes
from pipeline.dataset.twins.phash import turned_hashes


def found_by_trying_all(rows: np.ndarray, hashes: np.ndarray, reach: int) -> list[list[int]]:
    found = []
    for way, turned in enumerate(turned_hashes(hashes)):
        bits = np.bitwise_count(turned[:, None] ^ rows[None])
        found += [
            [place, row, way, int(bits[place, row])] for place, row in np.argwhere(bits <= reach).tolist()
        ]
    return sorted(found)


def found_by_index(rows: np.ndarray, hashes: np.ndarray, reach: int) -> list[list[int]]:
    return [close for some in close_hashes(index_hashes(rows), hashes, reach) for close in some.tolist()]


def families(seed: int, parents: int, children: int, most: int) -> np.ndarray:
    """Draw hashes in families, whose members differ by up to `most` bits from a parent turned in any way."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 1 << 64, parents, dtype=np.uint64, endpoint=False)
    found = [first]
    for _ in range(children):
        ways = turned_hashes(first)[rng.integers(8, size=parents), np.arange(parents)]
        for bit in rng.integers(64, size=(most, parents)).astype(np.uint64):
            ways = ways ^ (np.uint64(1) << bit)
        found.append(ways)
    return rng.permutation(np.concatenate(found))


@pytest.mark.parametrize("reach", [0, 3, 4, 7, 10, 11, 12])
def test_finds_what_trying_all_finds(reach):
    rows, hashes = families(reach, 40, 6, reach // 2 + 1), families(reach, 40, 3, reach // 2)
    expected = found_by_trying_all(rows, hashes, reach)
    assert len(expected) > 100
    assert found_by_index(rows, hashes, reach) == expected


def test_small_pieces_change_nothing(monkeypatch):
    hashes = families(1, 30, 5, 5)
    expected = found_by_index(hashes, hashes, 10)
    monkeypatch.setattr(module, "PIECE_PAIRS", 7)
    monkeypatch.setattr(module, "BATCH_PAIRS", 50)
    assert found_by_index(hashes, hashes, 10) == expected
    batches = list(close_hashes(index_hashes(hashes), hashes, 10))
    places = [set(batch[:, 0].tolist()) for batch in batches]
    assert len(batches) > 5
    assert sum(map(len, places)) == len(set().union(*places))  # all of a place together


def test_equal_and_symmetric_hashes_are_found_in_every_way():
    zero = np.zeros(3, np.uint64)  # a flat picture's: no way to turn it but (8, 8) and the even ones stay
    found = found_by_index(zero, zero[:1], 0)
    assert found == [[0, row, way, 0] for row in range(3) for way in (0, 4)]


@settings(max_examples=200)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 63), max_size=12, unique=True), st.integers(0, 7))
def test_no_pattern_of_bits_is_missed(parent, flipped, way):
    child = turned_hashes(np.array([parent], np.uint64))[way] ^ np.uint64(sum(1 << bit for bit in flipped))
    found = found_by_index(child, np.array([parent], np.uint64), 10)
    assert ([0, 0, way, len(flipped)] in found) == (len(flipped) <= 10)
