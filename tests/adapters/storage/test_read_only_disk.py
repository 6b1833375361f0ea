"""A disk that becomes read-only under a store, and is written again: nothing is half there, nothing need be restarted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgehost.adapters.services.disk_gauge import disk_room
from edgehost.adapters.storage.journal_lines import Change
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.domain.errors import UnavailableError
from tests.adapters.storage.faulty_disk import UnsyncedDisk


class TurningDisk(UnsyncedDisk):
    """``read_only`` refuses every change, also to files that are open, as a kernel does that gave the medium up."""

    read_only = False

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._require()
        super().write(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        self._require()
        super().truncate(descriptor, size)

    def _require(self) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def put(number: int) -> list[Change]:
    return [Change("put", "things", number, b'{"n":%d}' % number)]


def test_a_store_takes_records_again_when_its_disk_can_be_written(tmp_path: Path) -> None:
    disk = TurningDisk()
    storage = JournalStorage(tmp_path, disk=disk)
    storage.apply(put(1))
    disk.read_only = True
    for _ in range(3):
        with pytest.raises(UnavailableError, match="read-only") as refused:
            storage.apply(put(2))
        assert "remount,rw" in refused.value.hint
        assert list(storage.documents["things"]) == [1]
    disk.read_only = False
    storage.apply(put(3))
    storage.close()
    again = JournalStorage(tmp_path, disk=disk)
    assert list(again.documents["things"]) == [1, 3]
    assert again.journal.damages == []
    again.close()


def test_a_disk_that_the_kernel_gave_up_is_read_only_though_it_is_mounted_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("edgehost.adapters.services.disk_gauge.MOUNTS", mounts)
    for options, is_read_only in (("rw", False), ("rw,abort,emergency_ro", True), ("rw,shutdown", True)):
        mounts.write_text(
            f"1 0 999:999 / / rw - ext4 /dev/other rw,emergency_ro\n"
            f"2 1 {number} / /data rw,relatime shared:1 - ext4 /dev/mmcblk0p2 {options}\n"
        )
        assert disk_room(tmp_path).read_only is is_read_only
    mounts.unlink()
    assert not disk_room(tmp_path).read_only
