"""Publishing: the order that survives a power cut, a full disk, torn lines, folders."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.artifacts import writer
from pipeline.errors import ResourceError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def events(monkeypatch):
    """Record what happens to which file, the kernel's own calls included."""
    seen: list[tuple[str, str]] = []
    real_fsync, real_replace = os.fsync, os.replace
    real_path_replace = Path.replace

    def fsync(descriptor):
        seen.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_fsync(descriptor)

    def path_replace(source, target):
        seen.append(("replace", Path(target).name))
        return real_path_replace(source, target)

    def replace(source, target):
        seen.append(("replace", Path(target).name))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "replace", path_replace)
    return seen


def test_publish_syncs_the_file_then_replaces_then_syncs_the_folder(tmp_path, events):
    writer.publish_bytes(tmp_path / "a.bin", b"new")
    steps = list(dict.fromkeys(events))  # Path.replace may call os.replace: one step
    assert steps == [
        ("fsync", "a.bin.tmp"),
        ("replace", "a.bin"),
        ("fsync", tmp_path.name),
    ]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_event_trace_names_each_step_in_order(tmp_path, monkeypatch):
    trace = []
    monkeypatch.setattr(writer, "on_event", lambda name, path: trace.append((name, path.name)))
    writer.publish_bytes(tmp_path / "a.bin", b"new")
    folder = tmp_path.name
    assert trace == [("write", "a.bin"), ("fsync", "a.bin"), ("replace", "a.bin"), ("fsync", folder)]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_disk_full_at_any_step_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "a.bin"
    writer.publish_bytes(path, b"old")

    def full(name, _):
        if name == step:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "on_event", full)
    with pytest.raises(ResourceError, match=r"a\.bin: No space left on device \(\d+ bytes free\)") as raised:
        writer.publish_bytes(path, b"new")
    assert raised.value.exit_code == 5
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_disk_full_while_publishing_a_folder_leaves_nothing_half_written(tmp_path, monkeypatch, step):
    writer.publish_folder(tmp_path, {"a": b"old", "b": b"old"})
    events = 0

    def full(name, _):
        nonlocal events
        events += name == step
        if name == step and events == (1 if step == "fsync" else 2):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "on_event", full)
    with pytest.raises(ResourceError, match="No space left"):
        writer.publish_folder(tmp_path, {"a": b"new", "b": b"new"})
    assert (tmp_path / "b").read_bytes() == b"old"
    assert names_in(tmp_path) == ["a", "b"]


def test_real_full_disk_is_exit_code_5_with_the_old_file_whole(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from pipeline.artifacts import writer
from pipeline.errors import ResourceError
path = Path({str(tmp_path)!r}) / "a.bin"
writer.publish_bytes(path, b"old")
try:
    writer.publish_bytes(path, bytes(3_000_000))
except ResourceError as error:
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["a.bin"]
    sys.exit(error.exit_code)
"""
    mounted = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
    probe = ["unshare", "-Urm", "sh", "-c", mounted, "sh", "true"]
    try:
        allowed = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        [*probe[:-1], sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr


def test_stopped_in_the_middle_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.bin"
    writer.publish_bytes(path, b"old")

    def publish():
        with writer.publish_stream(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_folder_that_cannot_be_made_is_a_message(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match=r"can't write .*a\.bin"):
        writer.publish_bytes(tmp_path / "file" / "a.bin", b"")


def test_publish_folder_takes_a_generator_and_nested_names(tmp_path):
    writer.publish_folder(tmp_path / "new", ((f"{i % 2}/{i}.bin", bytes([i])) for i in range(4)))
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {f"new/{i % 2}/{i}.bin": bytes([i]) for i in range(4)}


def test_torn_line_spoils_only_itself(tmp_path):
    log = tmp_path / "deep" / "log.jsonl"
    writer.append_line(log, '{"epoch": 1}')
    with log.open("ab") as stream:
        stream.write(b'{"epoch": 2, "lo')
    writer.append_line(log, '{"epoch": 2}\n')
    assert log.read_text() == '{"epoch": 1}\n{"epoch": 2, "lo\n{"epoch": 2}\n'


def test_append_is_on_the_disk_when_it_returns(tmp_path, events):
    writer.append_line(tmp_path / "log.jsonl", "{}")
    assert ("fsync", "log.jsonl") in events


def test_remove_takes_files_folders_and_nothing(tmp_path):
    outside = tmp_path / "outside"
    writer.publish_folder(tmp_path, {"gone/a": b"", "file": b"", "outside/kept": b""})
    (tmp_path / "link").symlink_to(outside)
    for name in ("gone", "file", "link", "never"):
        writer.remove(tmp_path / name)
    assert names_in(tmp_path) == ["outside"]
    assert names_in(outside) == ["kept"]


def test_space_is_asked_for_before_the_work(tmp_path):
    writer.require_space(tmp_path / "not" / "yet", 1, "the cache")
    with pytest.raises(ResourceError, match=r"the cache needs 1000000000\.00 GB"):
        writer.require_space(tmp_path / "not" / "yet", 10**18, "the cache")
