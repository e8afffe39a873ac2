"""Locks: another process is refused at once, a killed holder frees it, a deleted folder guards nothing."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from pipeline.artifacts import lock
from pipeline.errors import LockedError, ResourceError

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.artifacts import lock
with lock.hold(Path(sys.argv[1]), "fold 3"):
    print("held", flush=True)
    time.sleep(60)
"""


LOOKS = """
import sys
from pathlib import Path
from pipeline.artifacts import lock
print("looking", flush=True)
while True:
    lock.is_held(Path(sys.argv[1]))
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_held_by_another_process_is_refused_at_once_with_its_pid(tmp_path, holder):
    path = tmp_path / "lock"
    assert lock.is_held(path)
    message = f"fold 3 is held by pid {holder.pid} on "
    with pytest.raises(LockedError, match=message) as raised, lock.hold(path, "fold 3"):
        pass
    assert raised.value.exit_code == 4


def test_free_after_kill_9_without_a_clean_up(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not lock.is_held(tmp_path / "lock")
    with lock.hold(tmp_path / "lock", "fold 3"):
        assert (tmp_path / "lock").read_text().startswith(f"pid {os.getpid()} on ")


def test_second_hold_in_the_same_process_is_refused_and_freed_after_an_error(tmp_path):
    path = tmp_path / "deep" / "lock"
    with lock.hold(path, "fold 0"), pytest.raises(LockedError), lock.hold(path, "fold 0"):
        pass
    with pytest.raises(RuntimeError), lock.hold(path, "fold 0"):
        raise RuntimeError
    assert not lock.is_held(path)
    with lock.hold(path, "fold 0"):
        assert lock.is_held(path)


def test_deleted_folder_is_made_again_and_the_old_lock_does_not_count(tmp_path):
    path = tmp_path / "fold3" / "lock"
    with lock.hold(path, "fold 3"):
        shutil.rmtree(path.parent)
        with lock.hold(path, "fold 3"):
            assert lock.is_held(path)


def test_lock_that_nobody_made_is_free(tmp_path):
    assert not lock.is_held(tmp_path / "none")


def test_a_folder_that_cannot_be_made_is_a_resource_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="can't write"), lock.hold(tmp_path / "file" / "lock", "work"):
        pass


def test_a_look_at_the_lock_does_not_refuse_the_holder(tmp_path):
    path = tmp_path / "lock"
    looks = [sys.executable, "-c", LOOKS, str(path)]
    path.touch()
    with subprocess.Popen(looks, stdout=subprocess.PIPE) as looker:
        assert looker.stdout is not None
        looker.stdout.readline()
        for _ in range(300):
            with lock.hold(path, "work"):
                pass
        looker.kill()
