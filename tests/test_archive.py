"""Archives unpack whole and byte for byte, and a bad one is refused before a byte is written."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.dataset import archive
from pipeline.errors import DataError


def make(path: Path, files: dict[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return buffer.getvalue()


def unpacked(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_folders_and_nested_zips_unpack(tmp_path):
    inner = zipped({"train.csv": b"id,label\n"})
    images = zipped({"1/a.jpg": b"A", "1/b.jpg": b"B"})
    path = make(
        tmp_path / "c.zip", {"train.csv.zip": inner, "sub/images.zip": images, "readme.txt": b"hi", "e/": b""}
    )
    files = archive.members(path)
    done = []
    archive.extract(path, tmp_path / "out", files, lambda *shares: done.append(shares))
    wanted = {"train.csv": b"id,label\n", "sub/1/a.jpg": b"A", "sub/1/b.jpg": b"B", "readme.txt": b"hi"}
    assert unpacked(tmp_path / "out") == wanted
    assert done[-1] == (13, 13)


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = make(tmp_path / "c.zip", {"a.csv": b"new", "b.csv": b"new"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.csv").write_bytes(b"mine")
    archive.extract(path, tmp_path / "out", archive.members(path))
    assert unpacked(tmp_path / "out") == {"a.csv": b"mine", "b.csv": b"new"}


def test_a_big_file_is_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "IN_MEMORY_BYTES", 10)
    path = make(tmp_path / "c.zip", {"big.bin": bytes(3_000_000), "small": b"s"})
    archive.extract(path, tmp_path / "out", archive.members(path))
    assert unpacked(tmp_path / "out") == {"big.bin": bytes(3_000_000), "small": b"s"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("/etc/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("a\\..\\evil", "backslash"),
        (".cache/download.json", ".cache"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, said):
    for path in (
        make(tmp_path / "c.zip", {"fine.csv": b"1", name: b"2"}),
        make(tmp_path / "d.zip", {"fine.csv": b"1", "nested.zip": zipped({name: b"2"})}),
    ):
        with pytest.raises(DataError, match=said):
            archive.members(path)


def test_links_and_devices_are_refused(tmp_path):
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        with zipfile.ZipFile(tmp_path / "c.zip", "w") as target:
            item = zipfile.ZipInfo("link")
            item.external_attr = (kind | 0o777) << 16
            target.writestr(item, "/etc/passwd")
        with pytest.raises(DataError, match="link or a device"):
            archive.members(tmp_path / "c.zip")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "BIG_BYTES", 1_000_000)
    path = make(tmp_path / "c.zip", {"zeros": bytes(5_000_000)})
    with pytest.raises(DataError, match="times its size"):
        archive.members(path)
    make(path, {f"{i}.zip": zipped({f"{i}": bytes(400_000)}) for i in range(5)})
    with pytest.raises(DataError, match="times its size"):
        archive.members(path)


def test_overlapping_members_are_refused(tmp_path):
    """Two entries of the directory that share one member's bytes, as a bomb's do."""
    data = bytearray(zipped({"a": b"x" * 50, "b": b""}))
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        size = source.getinfo("a").compress_size
    place = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, place + 20, len(data) - size + 1)
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(DataError, match="overlap"):
        archive.members(tmp_path / "c.zip")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_MEMBERS", 10)
    path = make(tmp_path / "c.zip", {str(i): b"" for i in range(11)})
    with pytest.raises(DataError, match="11 members"):
        archive.members(path)
    make(path, {f"{i}.zip": zipped({f"{i}-{j}": b"" for j in range(4)}) for i in range(3)})
    with pytest.raises(DataError, match="12 files"):
        archive.members(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_encrypted_and_damaged_are_refused(tmp_path):
    path = tmp_path / "c.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.csv", b"1")
        target.writestr("./a.csv", b"2")
    with pytest.raises(DataError, match=r"two members unpack to 'a\.csv'"):
        archive.members(path)
    data = bytearray(zipped({"a": b"1"}))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        archive.members(path)
    path.write_bytes(b"<html>busy</html>")
    with pytest.raises(DataError, match="no whole zip"):
        archive.members(path)
    path.write_bytes(zipped({"a": b"1" * 100})[:-30])
    with pytest.raises(DataError, match="no whole zip"):
        archive.members(path)


def test_flipped_content_is_found_when_unpacking(tmp_path):
    data = bytearray(make(tmp_path / "c.zip", {"a.csv": b"0123456789"}, zipfile.ZIP_STORED).read_bytes())
    data[data.index(b"456")] ^= 1
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        archive.extract(tmp_path / "c.zip", tmp_path / "out", archive.members(tmp_path / "c.zip"))
    assert unpacked(tmp_path / "out") == {}
