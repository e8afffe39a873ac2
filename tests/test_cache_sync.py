import os

import numpy as np
import pytest

from pipeline.artifacts import writer
from pipeline.dataset import cache
from pipeline.dataset.cache import Record, read_shard, shard_path, write_shard
from pipeline.errors import ResourceError

PICTURES = [np.full((10, 10, 3), i, np.uint8) for i in range(12)]


def images():
    for i, picture in enumerate(PICTURES):
        yield Record(f"{i}.png", "", 10, 10, 0, "", "", 0, 0, 0), picture


def test_a_shard_goes_to_the_disk_as_it_grows(tmp_path, monkeypatch):
    whole = write_shard(shard_path(tmp_path, 0), {}, images())
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(descriptor) or fsync(descriptor))
    monkeypatch.setattr(cache, "SYNCED_BYTES", 1000)
    path = shard_path(tmp_path, 1)
    assert write_shard(path, {}, images()) == whole == read_shard(path, check=True)
    assert len(synced) == 3 + 2  # 3,600 bytes of pictures; then the whole file and the folder


def test_an_error_of_the_disk_is_told_and_leaves_no_shard(tmp_path, monkeypatch):
    def fails(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cache, "SYNCED_BYTES", 1000)
    monkeypatch.setattr(writer, "_sync", lambda *a: None)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ResourceError, match=r"can't write .*Input/output error"):
        write_shard(shard_path(tmp_path, 0), {}, images())
    assert list(tmp_path.iterdir()) == []
