"""Stores that are only read: everything that is there is shown, nothing is changed, and whoever writes is told."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from edgehost.adapters.storage.folder_lock import FolderLock
from edgehost.adapters.storage.folder_shelf import open_shelf
from edgehost.adapters.storage.journal_lines import Change
from edgehost.adapters.storage.life_files import GenerationFolder
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.adapters.storage.withheld_disk import WithheldDisk, refusal_to_write
from edgehost.adapters.storage.withheld_files import WithheldGenerations, WithheldTable
from edgehost.domain.config_generation import Generations
from edgehost.domain.errors import UnavailableError


def put(number: int) -> list[Change]:
    return [Change("put", "things", number, b'{"n":%d}' % number)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "Permission denied"), (errno.ENOSPC, "no room")],
)
def test_a_store_that_is_only_read_shows_what_is_there_and_refuses_the_rest(
    tmp_path: Path, code: int, said: str
) -> None:
    written = JournalStorage(tmp_path)
    written.apply(put(1))
    written.compact()
    written.apply(put(2))
    written.close()
    journal = next(tmp_path.glob("*.journal"))
    journal.write_bytes(journal.read_bytes() + b"torn")
    before = files(tmp_path)
    read = JournalStorage(tmp_path, disk=WithheldDisk(code), min_dead_bytes=0)
    assert list(read.documents["things"]) == [1, 2]
    for _ in range(2):
        with pytest.raises(UnavailableError, match=said):
            read.apply(put(3))
    with pytest.raises(UnavailableError, match=said):
        read.compact()
    read.close()
    assert files(tmp_path) == before


async def test_stores_that_were_never_made_are_empty_and_are_not_made(tmp_path: Path) -> None:
    disk = WithheldDisk(errno.EROFS)
    async with (
        open_records(tmp_path / "records", disk=disk) as records,
        open_shelf(tmp_path / "releases", disk=disk) as shelf,
    ):
        assert list(records.models()) == []
        assert await shelf.releases() == ()
        with pytest.raises(UnavailableError, match="read-only"):
            await shelf.put("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", b"")
    assert files(tmp_path) == {}


def test_a_folder_that_is_only_read_is_still_one_hosts_at_a_time(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(UnavailableError, match=f"process {os.getpid()}"):
        FolderLock(tmp_path, reads_only=True)
    lock.release()
    (tmp_path / "lock").unlink()
    lock = FolderLock(tmp_path, reads_only=True)
    with pytest.raises(UnavailableError, match="another host"):
        FolderLock(tmp_path, reads_only=True)
    lock.release()
    FolderLock(tmp_path / "missing", reads_only=True).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reads_only", [True, False])
def test_a_file_system_that_locks_nothing_is_not_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reads_only: bool
) -> None:
    (tmp_path / "lock").touch()

    def flock(_descriptor: int, _how: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # as NFS of what is open for reading

    monkeypatch.setattr(fcntl, "flock", flock)
    if reads_only:
        FolderLock(tmp_path, reads_only=True).release()
    else:
        with pytest.raises(OSError, match="Bad file descriptor"):
            FolderLock(tmp_path)


def test_containers_that_do_not_know_the_call_for_effective_users_write_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access

    def access(path: Path, how: int, *, effective_ids: bool = False) -> bool:
        return real(path, how) and not effective_ids

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(os, "supports_effective_ids", {access})
    (tmp_path / "config").mkdir()
    assert refusal_to_write(tmp_path) is None


def test_a_data_folder_that_can_be_written_or_made_is_refused_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "records").mkdir(parents=True)
    (tmp_path / "data" / "lost+found").mkdir(mode=0)  # which is root's alone on a disk of its own
    assert refusal_to_write(tmp_path / "data") is None
    assert refusal_to_write(tmp_path / "to" / "be" / "made") is None
    (tmp_path / "file").touch()
    assert refusal_to_write(tmp_path / "file") is None  # which is another trouble


async def test_what_is_held_for_one_run_is_not_on_the_disk(tmp_path: Path) -> None:
    generations = WithheldGenerations(GenerationFolder(tmp_path), "Mend it.")
    proposed = Generations().proposed("digest", "file", at=1.0, after=0)
    generations.keep(proposed, text=b"text")
    assert generations.text(1, "digest") == b"text"
    assert generations.load() == Generations()
    generations.why = "The card is read-only."
    with pytest.raises(UnavailableError, match=r"The card is read-only\. Nothing was changed\.") as refused:
        generations.keep(proposed)
    assert refused.value.hint == "Mend it."

    class Kept:
        async def load(self) -> dict[str, int]:
            return {"kept": 1}

        async def keep(self, table: object) -> None:
            raise AssertionError

    table = WithheldTable(Kept())
    assert await table.load() == {"kept": 1}
    await table.keep({"held": 2})
    assert await table.load() == {"held": 2}
