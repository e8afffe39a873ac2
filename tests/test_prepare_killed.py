import functools
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import interrupt, prepare
from pipeline.artifacts import paths, writer
from pipeline.dataset import audit, shards
from pipeline.dataset.layouts import image_files
from pipeline.errors import Interrupted, ResourceError
from tests import moths
from tests.moths import IDS, Killed, bytes_of, configure, draw, facts_of, run, write_tables


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


@pytest.mark.parametrize(("first_time", "codec"), [(True, "auto"), (False, "jpeg")])
def test_killed_at_any_write_the_same_command_ends_with_the_same_bytes(root, monkeypatch, first_time, codec):
    config = configure(root, {"codec": codec})
    run(config)
    draw(root / "train" / "002.png", "002", seed=1)
    write_tables(root, IDS[1:])
    kept = root.parent / "kept"
    shutil.copytree(paths.cache(config), kept)
    run(config)
    golden, facts, point = bytes_of(config), facts_of(config), 0

    def kill(event, path):
        nonlocal left
        left -= 1
        if left < 0:
            (path.parent / f"{path.name}.tmp").write_bytes(b"torn")
            raise Killed

    while True:
        shutil.rmtree(paths.cache(config))
        if not first_time:
            shutil.copytree(kept, paths.cache(config))
        left = point
        monkeypatch.setattr(writer, "on_event", kill)
        try:
            run(config)
        except Killed:
            monkeypatch.setattr(writer, "on_event", None)
            run(config)
            point += 1
        else:
            break
        found = bytes_of(config)
        assert {name: data for name, data in found.items() if not name.endswith(".tmp")} == golden
        assert facts_of(config) == facts
        assert prepare.states(config)[0].state == "done"
    monkeypatch.setattr(writer, "on_event", None)
    assert point > 15


def test_a_kill_costs_one_shard(root, monkeypatch):
    config = configure(root)

    def kill(event, path):
        if path.name == "shard-00002.u8":
            raise Killed

    monkeypatch.setattr(writer, "on_event", kill)
    with pytest.raises(Killed):
        run(config)
    monkeypatch.setattr(writer, "on_event", None)
    seen = []
    look = shards.look
    monkeypatch.setattr(shards, "look", lambda *a: seen.append(a[-1]) or look(*a))
    run(config)
    assert len(seen) == 5


def test_a_signal_stops_with_what_is_done(root, monkeypatch):
    config = configure(root)
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "requested", lambda: 15)
        with pytest.raises(Interrupted) as caught:
            run(config)
    assert caught.value.exit_code == 143
    run(config)
    assert prepare.states(config)[0].state == "done"


def test_other_processes_give_the_same_bytes(root, monkeypatch):
    config = configure(root)
    paths_of = [f"train/{name}.png" for name in IDS] * 2
    parameters = {"max_pixels": 10_000, "short_side": 16, "codec": "raw"}
    work = functools.partial(audit.look, image_files.Roots(root), parameters)
    alone = list(audit.each_image(work, paths_of, 1))
    monkeypatch.setattr(audit, "POOL_SECONDS", 0.0)
    shared = list(audit.each_image(work, paths_of, 2))
    assert [record for record, _, _ in shared] == [record for record, _, _ in alone]
    for (_, *pictures), (_, *golden) in zip(shared, alone, strict=True):
        for picture, wanted in zip(pictures, golden, strict=True):
            np.testing.assert_array_equal(picture, wanted)
    assert config.cache.workers == 1


def die(path):
    os._exit(9)


def test_a_process_that_dies_is_told_with_its_images(monkeypatch):
    monkeypatch.setattr(audit, "POOL_SECONDS", -1.0)
    with pytest.raises(ResourceError, match=r"somewhere in a/0\.png … a/15\.png: run the same command again"):
        list(audit.each_image(die, [f"a/{i}.png" for i in range(20)], 2))


def test_a_full_disk_is_foreseen(root, monkeypatch):
    config = configure(root)
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="the cache of 13 decoded images needs"):
        run(config)
    assert list(paths.cache(config).glob("shard*")) == []


def test_the_cache_s_size_is_estimated_from_a_sample(root, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 5)
    monkeypatch.setattr(shards, "SAMPLED", 4)
    asked = []
    monkeypatch.setattr(writer, "require_space", lambda folder, needed, what: asked.append(needed))
    run(configure(root))
    assert asked == [0, int(13 * 16 * 19 * 3 * 1.1)]


IDLE_POOL = """
import multiprocessing, os, time
from pipeline.dataset import audit
audit.POOL_SECONDS = -1.0
found = audit.each_image(os.path.basename, [str(i) for i in range(999)], 2)
next(found)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_the_processes_end_with_the_first_one(tmp_path):
    script = tmp_path / "idle_pool.py"
    script.write_text("if __name__ == '__main__':\n" + textwrap.indent(IDLE_POOL, "    "))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as first:
        assert first.stdout is not None
        pids = [int(pid) for pid in first.stdout.readline().split()]
        first.kill()
    assert len(pids) == 2
    for _ in range(100):
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"{pids} are still there")


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # dead, and nobody asked yet how
