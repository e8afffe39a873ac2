import json
import pickle

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import writer
from pipeline.dataset import cache
from pipeline.dataset.cache import Record, cache_of, open_cache, read_shard, shard_path, shrink, write_shard
from pipeline.dataset.reader import decode_cached, encode_cached
from pipeline.errors import DataError

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((4, 6, 3), (1, 1, 3), (5, 3, 3))]
PARAMETERS = {"version": 1, "short_side": 5}


def records():
    found = [Record(f"{i}.png", f"{i:064x}", 6, 4, 2**64 - 1 - i, "", "", 0, 0, 0) for i in range(3)]
    return [*found[:2], Record("bad.png", "", 0, 0, 0, "empty file", "", 0, 0, 0), found[2]]


def images():
    return zip(records(), [PICTURES[0], PICTURES[1], None, PICTURES[2]], strict=True)


def publish(folder):
    """Write a cache of one shard, as `prepare` commits it."""
    shard = write_shard(shard_path(folder, 0), PARAMETERS, images())
    table = pd.DataFrame(shard.records)
    table["shard"] = np.where(table["problem"] == "", 0, -1)
    table.to_parquet(folder / "images.parquet")
    facts = {"schema": 1, "facts": {"shards": [shard.digest]}}
    (folder / "manifest.json").write_text(json.dumps(facts))
    return shard


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_shrink_keeps_the_aspect_and_enlarges_nothing(height, width, side):
    got = shrink(np.zeros((height, width, 3), np.uint8), side)
    short, long = sorted((height, width))
    got_short, got_long = sorted(got.shape[:2])
    assert got_short == min(side, short)
    assert abs(got_long - min(long, 2 * short) * got_short / short) <= 0.5
    assert (got.shape[0] > got.shape[1]) <= (height > width)


def test_shrink_averages_areas():
    pixels = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    golden = pixels.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(pixels, 10), golden, atol=1.0)  # rounded twice
    assert abs((shrink(pixels, 10) - golden).mean()) < 0.3


def test_shrink_by_any_ratio_is_near_area_interpolation():
    pixels = cv2.GaussianBlur(RNG.integers(0, 256, (301, 443, 3), dtype=np.uint8), (5, 5), 1.5)
    for side in (299, 250, 173, 120, 61, 20):
        got = shrink(pixels, side)
        golden = cv2.resize(pixels, got.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(got.astype(int) - golden).mean() < 1.0
        assert abs(float(got.mean()) - float(pixels.mean())) < 0.3


def test_shrink_cuts_both_ends_of_a_long_side():
    pixels = np.arange(50, dtype=np.uint8)[None, :, None].repeat(10, axis=0).repeat(3, axis=2)
    np.testing.assert_array_equal(shrink(pixels, 10), pixels[:, 15:35])
    np.testing.assert_array_equal(shrink(pixels.swapaxes(0, 1), 10), pixels.swapaxes(0, 1)[15:35])
    # squares of 1:4 average their middle half only
    np.testing.assert_array_equal(
        shrink(pixels, 5), cv2.resize(pixels[:, 15:35], (10, 5), interpolation=cv2.INTER_AREA)
    )


def test_a_shard_gives_its_pixels_and_records_back(tmp_path):
    path = shard_path(tmp_path, 0)
    written = write_shard(path, PARAMETERS, images())
    assert read_shard(path) == read_shard(path, check=True) == written
    assert cache.shard_digest(path) == written.digest
    assert written.records[0].phash == 2**64 - 1
    assert written.parameters == PARAMETERS
    assert [record.bytes for record in written.records] == [72, 3, 0, 45]
    again = tmp_path / "again"
    write_shard(again, PARAMETERS, images())
    assert again.read_bytes() == path.read_bytes()


def test_a_shard_of_jpegs_gives_their_pixels_back(tmp_path):
    encoded = [encode_cached(picture) for picture in PICTURES]
    sized = [
        record._replace(cached_height=height, cached_width=width, length=len(data))
        for record, (height, width, _), data in zip(
            [records()[i] for i in (0, 1, 3)], [picture.shape for picture in PICTURES], encoded, strict=True
        )
    ]
    written = write_shard(shard_path(tmp_path, 0), PARAMETERS, [*zip(sized, encoded, strict=True)])
    assert read_shard(shard_path(tmp_path, 0), check=True) == written
    assert [record.bytes for record in written.records] == [len(data) for data in encoded]
    opened = cache_of(tmp_path, pd.DataFrame(written.records).assign(shard=0), [written.digest])
    for row, (picture, data) in enumerate(zip(PICTURES, encoded, strict=True)):
        np.testing.assert_array_equal(opened.pixels(row), decode_cached(data, *picture.shape[:2]))


def test_a_torn_or_damaged_shard_is_none(tmp_path):
    path = shard_path(tmp_path, 0)
    assert read_shard(path) is None
    write_shard(path, PARAMETERS, images())
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 17), *range(len(whole) - 60, len(whole))]:
        path.write_bytes(whole[:size])
        assert read_shard(path) is None
    for place in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert read_shard(path, check=True) is None
    path.write_bytes(b"more" + whole)
    assert read_shard(path, check=True) is None


def test_a_shard_appears_whole_or_not_at_all(tmp_path):
    def torn():
        yield next(images())
        raise KeyboardInterrupt

    path = shard_path(tmp_path, 0)
    before = write_shard(path, PARAMETERS, images())
    with pytest.raises(KeyboardInterrupt):
        write_shard(path, PARAMETERS, torn())
    assert read_shard(path, check=True) == before
    assert list(tmp_path.iterdir()) == [path]


def test_open_cache_has_the_usable_rows(tmp_path):
    publish(tmp_path)
    opened = open_cache(tmp_path)
    assert opened.table["path"].tolist() == ["0.png", "1.png", "2.png"]
    assert opened.table.index.tolist() == [0, 1, 2]
    for row, picture in enumerate(PICTURES):
        pixels = opened.pixels(row)
        np.testing.assert_array_equal(pixels, picture)
        assert not pixels.flags.writeable
        assert pixels.dtype == np.uint8


def test_a_cache_can_be_sent_to_another_process(tmp_path):
    publish(tmp_path)
    opened = open_cache(tmp_path)
    opened.pixels(0)
    sent = pickle.dumps(opened)
    np.testing.assert_array_equal(pickle.loads(sent).pixels(2), PICTURES[2])
    assert PICTURES[0].tobytes() not in sent


def test_open_cache_refuses_what_prepare_did_not_commit(tmp_path):
    with pytest.raises(DataError, match="python -m pipeline"):
        open_cache(tmp_path)
    publish(tmp_path)
    (tmp_path / "images.parquet").unlink()
    with pytest.raises(DataError, match=r"python -m pipeline\.prepare"):
        open_cache(tmp_path)


def test_a_shard_of_another_time_is_not_mixed_in(tmp_path):
    publish(tmp_path)
    opened = open_cache(tmp_path)
    write_shard(shard_path(tmp_path, 0), {**PARAMETERS, "short_side": 6}, images())
    with pytest.raises(DataError, match=r"shard-00000\.u8 isn't the shard that was indexed"):
        opened.pixels(0)
    shard_path(tmp_path, 0).unlink()
    with pytest.raises(DataError, match=r"python -m pipeline\.prepare"):
        opened.pixels(0)


def test_mapped_pixels_outlive_a_replaced_shard(tmp_path):
    publish(tmp_path)
    opened = open_cache(tmp_path)
    opened.pixels(0)
    writer.publish_bytes(shard_path(tmp_path, 0), b"other")
    np.testing.assert_array_equal(opened.pixels(1), PICTURES[1])
