"""The shelf on the disk: power cuts at every step, changed bytes, and what a deployment writes."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from edgehost.adapters.storage import folder_shelf
from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.folder_shelf import MAX_DAMAGED_FILES, FolderShelf, open_shelf
from edgehost.adapters.storage.release_ledger import decode_release
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.domain.errors import DamagedError, EdgehostError, NotFoundError, UnavailableError
from edgehost.domain.release_life import Release, Stage
from tests.adapters.storage.faulty_disk import Aftermath, Moment, PowerCutDisk, PowerCutError, UnsyncedDisk


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


OLD, NEW = b"old component" * 50, b"new component" * 60


def a_release(version: str, content: bytes, stage: Stage) -> Release:
    return Release("telemetry", version, digest_of(content), len(content), 1, "fleet", stage)


#: A deployment: the file, the moves of two releases in one step, and the old file's end.
FIRST = a_release("1.0.0", OLD, Stage.LIVE)
SECOND = a_release("1.1.0", NEW, Stage.SHELVED)
LIVE = (replace(FIRST, stage=Stage.DRAINING), replace(SECOND, stage=Stage.LIVE))


Found = tuple[frozenset[bytes], tuple[Release, ...]]
STATES: list[Found] = [
    (frozenset(), ()),
    (frozenset({OLD}), ()),
    (frozenset({OLD}), (FIRST,)),
    (frozenset({OLD, NEW}), (FIRST,)),
    (frozenset({OLD, NEW}), (FIRST, SECOND)),
    (frozenset({OLD, NEW}), LIVE),
    (frozenset({NEW}), LIVE),
    (frozenset({NEW}), LIVE[1:]),
]


def deploy(shelf: FolderShelf) -> Iterator[int]:
    """Number of steps acknowledged so far."""
    shelf._put(digest_of(OLD), OLD)
    yield 1
    shelf._record((FIRST,))
    yield 2
    shelf._put(digest_of(NEW), NEW)
    yield 3
    shelf._record((SECOND,))
    yield 4
    shelf._record(LIVE)
    yield 5
    shelf._collect(frozenset({digest_of(NEW)}))
    yield 6
    shelf._forget_releases((digest_of(OLD), digest_of(b"unknown")))
    yield 7


def cut_power(folder: Path, stop_at: int, moment: Moment) -> tuple[PowerCutDisk, int]:
    folder.mkdir()
    disk = PowerCutDisk(folder, stop_at, moment)
    acknowledged = 0
    shelf = None
    try:
        shelf = FolderShelf(folder, disk=disk)
        for acknowledged in deploy(shelf):  # noqa: B007  the last one counts
            pass
    except PowerCutError:
        pass
    if shelf is not None:
        shelf.close()
    return disk, acknowledged


async def found_in(folder: Path) -> Found:
    async with open_shelf(folder, disk=UnsyncedDisk()) as shelf:
        contents = [await shelf.get(digest) for digest in shelf._sizes]
        assert await shelf.size_bytes() == sum(map(len, contents))
        return frozenset(contents), await shelf.releases()


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_power_cut_at_any_step_of_a_deployment_leaves_old_or_new(
    tmp_path: Path, moment: Moment
) -> None:
    counted, _ = cut_power(tmp_path / "count", 1 << 30, moment)
    assert counted.steps > 20
    for stop_at in range(1, counted.steps + 1):
        disk, acknowledged = cut_power(tmp_path / str(stop_at), stop_at, moment)
        for aftermath in (Aftermath.NOTHING, Aftermath.EVERYTHING, Aftermath.CONTENT, Aftermath.HALF):
            left = disk.left_behind(tmp_path / f"{stop_at} {aftermath}", aftermath)
            files, releases = await found_in(left)
            assert (files, releases) in STATES[acknowledged : acknowledged + 2]
            # No release that was told to be on the shelf lacks its file.
            assert {r.digest for r in releases if r.stage is Stage.LIVE} <= {digest_of(f) for f in files}


async def test_names_that_reach_the_disk_before_their_content_never_name_a_torn_file(tmp_path: Path) -> None:
    counted, _ = cut_power(tmp_path / "count", 1 << 30, Moment.BEFORE)
    for stop_at in range(1, counted.steps + 1):
        disk, acknowledged = cut_power(tmp_path / str(stop_at), stop_at, Moment.AFTER)
        for aftermath in (Aftermath.NAMES, Aftermath.ZEROS, Aftermath.REMOVALS):
            left = disk.left_behind(tmp_path / f"{stop_at} {aftermath}", aftermath)
            assert await found_in(left) in STATES[acknowledged : acknowledged + 2]


async def test_a_file_whose_bytes_have_changed_is_set_aside_and_can_be_put_again(tmp_path: Path) -> None:
    digest = digest_of(OLD)
    path = tmp_path / "files" / digest
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest, OLD)
        path.write_bytes(OLD[:-1] + b"X")
        with pytest.raises(DamagedError, match=digest[:12]):
            await shelf.get(digest)
        assert not await shelf.has(digest)
        assert await shelf.size_bytes() == 0
        with pytest.raises(NotFoundError):
            await shelf.get(digest)
        assert path.with_name(digest + ".damaged").read_bytes() == OLD[:-1] + b"X"
        await shelf.put(digest, OLD)
        assert await shelf.get(digest) == OLD
    async with open_shelf(tmp_path) as shelf:
        assert await shelf.get(digest) == OLD
        assert await shelf.size_bytes() == len(OLD)


async def test_putting_a_file_again_heals_a_changed_one(tmp_path: Path) -> None:
    digest = digest_of(OLD)
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest, OLD)
        (tmp_path / "files" / digest).write_bytes(b"X" * len(OLD))
        await shelf.put(digest, OLD)
        assert await shelf.get(digest) == OLD


async def test_a_file_that_vanished_is_not_found(tmp_path: Path) -> None:
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest_of(OLD), OLD)
        (tmp_path / "files" / digest_of(OLD)).unlink()
        with pytest.raises(NotFoundError, match="vanished"):
            await shelf.get(digest_of(OLD))
        assert not await shelf.has(digest_of(OLD))


async def test_a_file_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "files" / digest_of(OLD)
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest_of(OLD), OLD)
        path.unlink()
        path.mkdir()
        with pytest.raises(DamagedError, match="cannot be read"):
            await shelf.get(digest_of(OLD))


async def test_damaged_files_do_not_pile_up(tmp_path: Path) -> None:
    async with open_shelf(tmp_path) as shelf:
        for number in range(MAX_DAMAGED_FILES + 3):
            content = b"%d" % number
            await shelf.put(digest_of(content), content)
            (tmp_path / "files" / digest_of(content)).write_bytes(b"other")
            with pytest.raises(DamagedError):
                await shelf.get(digest_of(content))
    names = [path.suffix for path in (tmp_path / "files").iterdir()]
    assert names == [".damaged"] * MAX_DAMAGED_FILES


async def test_a_damaged_ledger_line_is_logged_and_costs_one_release(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_shelf(tmp_path) as shelf:
        for release in (FIRST, SECOND, a_release("1.2.0", b"x", Stage.LIVE)):
            await shelf.record(release)
    path = tmp_path / "releases-000001.journal"
    path.write_bytes(path.read_bytes().replace(b"1.1.0", b"1.1.1"))
    with caplog.at_level(logging.ERROR, "edgehost.storage"):
        async with open_shelf(tmp_path) as shelf:
            assert [release.version for release in await shelf.releases()] == ["1.0.0", "1.2.0"]
            assert len(shelf.damage) == 1
    assert "Ledger of releases: releases-000001.journal" in caplog.text
    async with open_shelf(tmp_path) as shelf:
        assert shelf.damage == ()
        assert len(await shelf.releases()) == 2


class CountingDisk(UnsyncedDisk):
    def __init__(self) -> None:
        self.bytes_written = 0

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self.bytes_written += len(data)
        super().write(descriptor, data, offset)


async def test_a_deployment_writes_at_most_twice_the_size_of_its_component(tmp_path: Path) -> None:
    content = bytes(50_000)
    disk = CountingDisk()
    stages = [
        Stage.RECEIVED,
        Stage.VERIFIED,
        Stage.SHELVED,
        Stage.STAGED,
        Stage.PROBED,
        Stage.LIVE,
        Stage.DRAINING,
        Stage.RETIRED,
    ]
    async with open_shelf(tmp_path, disk=disk) as shelf:
        for number in range(20):
            before = disk.bytes_written
            content = number.to_bytes(4, "big") + content[4:]
            await shelf.put(digest_of(content), content)
            for stage in stages:
                await shelf.record(a_release(f"1.0.{number}", content, stage))
            assert disk.bytes_written - before < 1.1 * len(content)


async def test_the_ledger_stays_small_however_often_releases_move(tmp_path: Path) -> None:
    async with open_shelf(tmp_path, disk=UnsyncedDisk()) as shelf:
        for number in range(4000):
            await shelf.record(replace(FIRST, changed_at=float(number)))
    size = sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())  # noqa: ASYNC240
    assert size < 800_000
    async with open_shelf(tmp_path) as shelf:
        assert await shelf.releases() == (replace(FIRST, changed_at=3999.0),)


async def test_a_second_host_on_the_same_shelf_is_refused(tmp_path: Path) -> None:
    async with open_shelf(tmp_path):
        with pytest.raises(UnavailableError, match="in use by another host"):
            async with open_shelf(tmp_path):
                pass


async def test_what_a_crash_left_unfinished_is_removed(tmp_path: Path) -> None:
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest_of(OLD), OLD)
    (tmp_path / "files" / (digest_of(NEW) + ".tmp")).write_bytes(b"half")
    async with open_shelf(tmp_path) as shelf:
        assert await shelf.size_bytes() == len(OLD)
    assert not (tmp_path / "files" / (digest_of(NEW) + ".tmp")).exists()


async def test_a_ledger_of_a_later_version_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    def write(stage: str) -> None:
        storage = JournalStorage(tmp_path, name="releases")
        raw = b'{"component":"c","version":"1","device_classes":[],"stage":"%b"}' % stage.encode()
        (storage.documents.setdefault("releases", {}))[1] = raw
        storage.compact()
        storage.close()

    write("teleported")
    for _ in range(2):
        with pytest.raises(DamagedError, match="does not understand"):
            async with open_shelf(tmp_path):
                pass


def test_an_entry_with_more_fields_than_are_known_is_read() -> None:
    raw = (
        b'{"component":"c","version":"1","digest":"d","size_bytes":1,"sequence":1,"remote":"",'
        b'"stage":"live","device_classes":["any"],"new":1}'
    )
    assert decode_release(raw) == Release("c", "1", "d", 1, 1, "", Stage.LIVE)


class UnwillingDisk(Disk):
    def rename(self, source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(source), None, str(target))


async def test_a_damaged_file_that_cannot_be_set_aside_is_forgotten_all_the_same(tmp_path: Path) -> None:
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest_of(OLD), OLD)
    (tmp_path / "files" / digest_of(OLD)).write_bytes(b"other")
    async with open_shelf(tmp_path, disk=UnwillingDisk()) as shelf:
        with pytest.raises(DamagedError):
            await shelf.get(digest_of(OLD))
        assert not await shelf.has(digest_of(OLD))
        with pytest.raises(EdgehostError, match="disk did not take"):
            await shelf.put(digest_of(NEW), NEW)


async def test_a_process_with_too_much_open_does_not_take_a_good_file_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: Path) -> BinaryIO:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with open_shelf(tmp_path) as shelf:
        await shelf.put(digest_of(OLD), OLD)
        with monkeypatch.context() as patched:
            patched.setattr(folder_shelf, "open_plain_file", refused)
            with pytest.raises(UnavailableError, match="Too many open files"):
                await shelf.get(digest_of(OLD))
        assert await shelf.get(digest_of(OLD)) == OLD
