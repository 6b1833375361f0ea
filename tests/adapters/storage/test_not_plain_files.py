"""A pipe, a folder or a device where a data file belongs stops nothing for ever: it is told at once, with the way out."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edgehost.adapters.storage.disk import Disk, write_whole_file
from edgehost.adapters.storage.folder_shelf import open_shelf
from edgehost.adapters.storage.plain_file import NotPlainError
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.domain.errors import DamagedError, UnavailableError
from tests.adapters.storage.faulty_disk import UnsyncedDisk

CONTENT = b"\0asm of a component"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            sock.bind(f"/proc/self/fd/{folder}/{path.name}")  # the path itself may be too long for a socket
        finally:
            os.close(folder)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


WHATEVER: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": _socket,
    "device": _device,
}
each_kind = pytest.mark.parametrize("make", WHATEVER.values(), ids=WHATEVER.keys())


@each_kind
@pytest.mark.parametrize("suffix", ["journal", "json"])
def test_a_store_says_what_lies_in_the_place_of_its_file(
    tmp_path: Path, make: Callable[[Path], None], suffix: str
) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    file = folder / f"records-000001.{suffix}"
    make(file)
    with pytest.raises(UnavailableError) as refused:
        JournalStorage(folder, disk=UnsyncedDisk())
    assert str(file) in refused.value.message
    assert "Move it away" in refused.value.hint
    file.rmdir() if file.is_dir() else file.unlink()
    storage = JournalStorage(folder, disk=UnsyncedDisk())  # the folder is not locked for ever
    storage.close()


@each_kind
async def test_a_shelf_sets_aside_what_is_no_file_and_takes_it_anew(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    async with open_shelf(tmp_path, disk=UnsyncedDisk()) as shelf:
        await shelf.put(DIGEST, CONTENT)
    file = tmp_path / "files" / DIGEST
    file.unlink()
    make(file)
    async with open_shelf(tmp_path, disk=UnsyncedDisk()) as shelf:
        with pytest.raises(DamagedError):
            await shelf.get_part(DIGEST, 0, 4)
        with pytest.raises(DamagedError, match="no plain file"):
            await shelf.get(DIGEST)
        await shelf.put(DIGEST, CONTENT)
        assert await shelf.get(DIGEST) == CONTENT


@each_kind
def test_nothing_is_written_to_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(NotPlainError):
        Disk().open(tmp_path / "file")
    write = tmp_path / "other.tmp"
    os.mkfifo(write)
    with pytest.raises(NotPlainError):
        write_whole_file(UnsyncedDisk(), tmp_path / "other", b"content")
    write_whole_file(UnsyncedDisk(), tmp_path / "other", b"content")  # the pipe is gone
