"""Small files that are replaced whole, by writers that may overlap."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.small_table_file import SmallTableFile
from edgehost.domain.errors import RefusedError


class SlowDisk(Disk):
    """Its first sync lasts until the second has begun, if that can be; the second one until the first file is there."""

    def __init__(self) -> None:
        self.first_syncs, self.second_syncs, self.renamed = (threading.Event() for _ in range(3))

    def sync(self, descriptor: int) -> None:
        if not self.first_syncs.is_set():
            self.first_syncs.set()
            self.second_syncs.wait(0.2)
        else:
            self.second_syncs.set()
            assert self.renamed.wait(20)
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.renamed.set()


async def test_a_write_that_was_cancelled_does_not_spoil_the_next(tmp_path: Path) -> None:
    disk = SlowDisk()
    file = SmallTableFile(tmp_path / "table.json", 1000, disk)
    first = asyncio.create_task(file.keep({"number": 1}))
    await asyncio.to_thread(disk.first_syncs.wait, 20)
    first.cancel()
    await asyncio.wait({first})
    await file.keep({"number": 2})
    assert await file.load() == {"number": 2}
    assert not await asyncio.to_thread((tmp_path / "table.json.tmp").exists)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
async def test_what_lies_in_the_place_of_a_table_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "table.json"
    if kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    before = _open_files()
    with pytest.raises(RefusedError, match="no plain file"):
        await SmallTableFile(place, 1000, None).load()
    assert _open_files() == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
