"""Disks that fail on purpose: power cuts that forget what was not synced, full disks, and disks without syncs."""

from __future__ import annotations

import enum
import errno
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edgehost.adapters.storage.disk import Disk


class UnsyncedDisk(Disk):
    """Does not wait for the medium: for tests that do not pull the plug."""

    def sync(self, descriptor: int) -> None:
        os.fstat(descriptor)

    def sync_folder(self, folder: Path) -> None:
        assert folder.is_dir()


class PowerCutError(BaseException):
    """The machine stops here; nothing may catch it and go on."""


class Moment(enum.StrEnum):
    """When within a step the power goes."""

    BEFORE = "before"
    HALFWAY = "halfway"  # of a write: a part of it has reached the file
    AFTER = "after"


class Aftermath(enum.StrEnum):
    """What the medium holds of that which was not synced; all of these happen."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    NAMES = "names without content"
    CONTENT = "content without names"
    HALF = "half of the content"
    ZEROS = "sizes without content"
    REMOVALS = "removals without new names"


P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(
    step: Callable[Concatenate[PowerCutDisk, P], R],
) -> Callable[Concatenate[PowerCutDisk, P], R]:
    @functools.wraps(step)
    def locked(disk: PowerCutDisk, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with disk._lock:
            return step(disk, *args, **kwargs)

    return locked


class PowerCutDisk(UnsyncedDisk):
    """Works until step ``stop_at``; then ``left_behind`` makes the folder that is found after the power cut.

    Threads may share it: a power cut stops them all at one instant.
    """

    def __init__(self, root: Path, stop_at: int = 1 << 30, moment: Moment = Moment.BEFORE) -> None:
        self._root = root
        self._stop_at = stop_at
        self._moment = moment
        self._lock = threading.RLock()
        self.steps = 0
        self._paths: dict[int, Path] = {}
        self._files: dict[str, int] = {}  # names now -> file
        self._synced_names: dict[str, int] = {}
        self._synced: dict[int, bytes] = {}
        self._contents: dict[int, bytes] = {}
        for path in sorted(root.rglob("*")) if root.exists() else []:
            if path.is_file():
                number = len(self._synced)
                self._files[self._name(path)] = number
                self._synced[number] = self._contents[number] = path.read_bytes()
        self._synced_names = dict(self._files)

    @_one_at_a_time
    def open(self, path: Path, *, empty: bool = False) -> int:
        self._step()
        descriptor = super().open(path, empty=empty)
        name = self._name(path)
        if name not in self._files:
            number = self._files[name] = len(self._synced)
            self._synced[number] = self._contents[number] = b""
        if empty:
            self._contents[self._files[name]] = b""
        self._paths[descriptor] = path
        self._step(after=True)
        return descriptor

    @_one_at_a_time
    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._step()
        if self.steps == self._stop_at and self._moment is Moment.HALFWAY:
            super().write(descriptor, data[: len(data) // 2], offset)
            self._see(descriptor)
            raise PowerCutError
        super().write(descriptor, data, offset)
        self._see(descriptor)
        self._step(after=True)

    @_one_at_a_time
    def sync(self, descriptor: int) -> None:
        self._step()
        number = self._files[self._name(self._paths[descriptor])]
        self._synced[number] = self._contents[number]
        self._step(after=True)

    @_one_at_a_time
    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        super().truncate(descriptor, size)
        self._see(descriptor)
        self._step(after=True)

    @_one_at_a_time
    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)
        self._files[self._name(target)] = self._files.pop(self._name(source))
        self._step(after=True)

    @_one_at_a_time
    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)
        self._files.pop(self._name(path), None)
        self._step(after=True)

    @_one_at_a_time
    def sync_folder(self, folder: Path) -> None:
        self._step()
        here = folder.relative_to(self._root)
        kept = {n: f for n, f in self._synced_names.items() if Path(n).parent != here}
        new = {n: f for n, f in self._files.items() if Path(n).parent == here}
        self._synced_names = kept | new
        self._step(after=True)

    def left_behind(self, folder: Path, aftermath: Aftermath) -> Path:
        """The folder as the next start finds it."""
        live = aftermath in (Aftermath.EVERYTHING, Aftermath.NAMES)
        names = self._files if live else self._synced_names
        if aftermath is Aftermath.REMOVALS:
            names = {name: number for name, number in names.items() if number in self._files.values()}
        folder.mkdir()
        for name, number in names.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(self._content(number, aftermath))
        return folder

    def _content(self, number: int, aftermath: Aftermath) -> bytes:
        synced, current = self._synced[number], self._contents[number]
        match aftermath:
            case Aftermath.NOTHING | Aftermath.NAMES | Aftermath.REMOVALS:
                return synced
            case Aftermath.EVERYTHING | Aftermath.CONTENT:
                return current
            case Aftermath.HALF:
                return current[: (len(synced) + len(current)) // 2]
            case Aftermath.ZEROS:
                return synced + bytes(max(0, len(current) - len(synced)))

    def _see(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        self._contents[self._files[self._name(self._paths[descriptor])]] = os.pread(descriptor, size, 0)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def _step(self, *, after: bool = False) -> None:
        if not after:
            self.steps += 1
        if self.steps > self._stop_at:
            raise PowerCutError
        cut = Moment.AFTER if after else Moment.BEFORE
        if self.steps == self._stop_at and self._moment is cut:
            raise PowerCutError


class FailingDisk(UnsyncedDisk):
    """Answers with an error at one step, or at every step from there on until ``mend`` is called."""

    def __init__(self, fail_at: int = 1 << 30, *, error: int = errno.ENOSPC, lasting: bool = False) -> None:
        self._fail_at = fail_at
        self._error = error
        self._lasting = lasting
        self.steps = 0
        self.failures = 0

    def mend(self) -> None:
        """Work again."""
        self._fail_at = 1 << 30

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self._fails():
            super().write(descriptor, data[: len(data) * 2 // 3], offset)
            self._fail()
        super().write(descriptor, data, offset)

    def open(self, path: Path, *, empty: bool = False) -> int:
        if self._fails():
            self._fail()
        return super().open(path, empty=empty)

    def sync(self, descriptor: int) -> None:
        if self._fails():
            self._fail()

    def truncate(self, descriptor: int, size: int) -> None:
        if self._fails():
            self._fail()
        super().truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        if self._fails():
            self._fail()
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        if self._fails():
            self._fail()

    def _fails(self) -> bool:
        self.steps += 1
        return self.steps >= self._fail_at if self._lasting else self.steps == self._fail_at

    def _fail(self) -> None:
        self.failures += 1
        raise OSError(self._error, os.strerror(self._error))
