"""The operator's bindings on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.storage.binding_file import BindingFile
from edgehost.adapters.storage.disk import Disk
from edgehost.domain.binding import MOST_BINDINGS
from edgehost.domain.errors import DamagedError, StorageFullError


class BrokenDisk(Disk):
    """Fails at the write number ``fails_at``."""

    def __init__(self, fails_at: str) -> None:
        super().__init__()
        self._fails_at = fails_at

    def sync(self, descriptor: int) -> None:
        if self._fails_at == "sync":
            raise OSError(28, "No space left on device")
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        if self._fails_at == "rename":
            raise OSError(28, "No space left on device")
        super().rename(source, target)


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    store = BindingFile(tmp_path / "bindings.json")
    assert await store.load() == {}
    full = {f"model.p{number}": "adapter:service" for number in range(MOST_BINDINGS)}
    for table in ({"drone.fly": "pilot", "pilot": "radio"}, full, {}):
        await store.keep(table)
        assert await BindingFile(tmp_path / "bindings.json").load() == table


@pytest.mark.parametrize("fails_at", ["sync", "rename"])
async def test_a_full_disk_leaves_the_old_table(tmp_path: Path, fails_at: str) -> None:
    path = tmp_path / "bindings.json"
    await BindingFile(path).keep({"a": "b"})
    with pytest.raises(StorageFullError):
        await BindingFile(path, BrokenDisk(fails_at)).keep({"a": "c"})
    assert await BindingFile(path).load() == {"a": "b"}
    assert names_in(tmp_path) == ["bindings.json"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b'{"drone.fly": "Bad Name"}', b"\xff", b"[" * 100_000]
)
async def test_a_damaged_file_is_told_and_not_guessed_at(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bindings.json"
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        await BindingFile(path).load()
