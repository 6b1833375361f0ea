"""The host's own memory of its starts, crashes and configurations, in small files of the data folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.storage.disk import Disk, remove_quietly, storage_error, write_whole_file
from edgehost.adapters.storage.plain_file import read_plain_file
from edgehost.domain.boot_record import BootRecord
from edgehost.domain.config_generation import Generations
from edgehost.domain.crash_report import MOST_DETAIL, MOST_REPORTS, CrashReport

log = logging.getLogger("edgehost.life")

_TABLE: Final = "generations.json"
#: Ten generations with reasons of 500 characters.
_MOST_TABLE_BYTES: Final = 64 * 1024
_MOST_TEXT_BYTES: Final = 1024 * 1024
_MOST_RECORD_BYTES: Final = 4096
#: A character of the detail may take six bytes as JSON.
_MOST_REPORT_BYTES: Final = 8 * MOST_DETAIL


class GenerationFolder:
    """A GenerationStore: ``NNNNNN.toml`` and a table with their digests."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or Disk()

    def load(self) -> Generations:
        """What was kept last; empty when nothing was, or when it is damaged."""
        document = _read_json(self._folder / _TABLE, _MOST_TABLE_BYTES)
        if document is None:
            return Generations()
        try:
            return Generations.from_document(document)
        except (ValueError, KeyError, TypeError) as problem:
            log.warning("%s is damaged (%s); it begins anew.", self._folder / _TABLE, problem)
            return Generations()

    def newest_number(self) -> int:
        """The largest number that a text is kept under."""
        names = (path.stem for path in self._folder.glob("*.toml"))
        return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)

    def keep(self, generations: Generations, *, text: bytes | None = None) -> None:
        """Keep the table; the text is on the disk before the table names it.

        Raises:
            StorageFullError, UnavailableError: nothing was changed.
        """
        path = self._folder / _TABLE
        try:
            self._disk.make_folder(self._folder)
            if text is not None:
                write_whole_file(self._disk, self._path(generations.all[-1].number), text)
            write_whole_file(self._disk, path, json.dumps(generations.document(), indent=1).encode())
        except OSError as error:
            raise storage_error(error, path) from error
        named = {self._path(each.number) for each in generations.all}
        for old in self._folder.glob("*.toml*"):
            if old not in named:
                remove_quietly(self._disk, old)

    def text(self, number: int, digest: str) -> bytes | None:
        """The text of a generation; None when it is lost or has another digest."""
        content = _read(self._path(number), _MOST_TEXT_BYTES)
        return content if content is not None and hashlib.sha256(content).hexdigest() == digest else None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.toml"


class BootRecordFile:
    """A BootRecordStore."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._path = path
        self._disk = disk or Disk()

    def load(self) -> BootRecord:
        """What was kept last; a new record when nothing was, or when it is damaged."""
        document = _read_json(self._path, _MOST_RECORD_BYTES)
        try:
            return BootRecord() if document is None else BootRecord.from_document(document)
        except (ValueError, TypeError) as problem:
            log.warning("%s is damaged (%s); it begins anew.", self._path, problem)
            return BootRecord()

    def keep(self, record: BootRecord) -> None:
        """Keep it durably; a disk that refuses is logged."""
        try:
            self._disk.make_folder(self._path.parent)
            write_whole_file(self._disk, self._path, json.dumps(record.document()).encode())
        except OSError as error:
            log.warning("%s cannot be written (%s): how this run ends will not be known.", self._path, error)


class CrashFolder:
    """CrashReports as ``NNNN.json``; ``fatal.txt`` is the fault handler's, and read once by the next start."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self.fatal = folder / "fatal.txt"
        self._disk = disk or Disk()

    def add(self, report: CrashReport) -> None:
        """Keep the report; a disk that refuses is logged."""
        numbers = [int(path.stem) for path in self._paths()]
        number = max(numbers, default=0) + 1
        path = self.folder / f"{number:04d}.json"
        document = {**report.document(), "number": number}
        try:
            self._disk.make_folder(self.folder)
            write_whole_file(self._disk, path, json.dumps(document, indent=1).encode())
        except OSError as error:
            log.warning("The crash report %s cannot be written: %s", path, error)
        for old in self._paths()[:-MOST_REPORTS]:
            remove_quietly(self._disk, old)

    def all(self) -> Sequence[CrashReport]:
        """What is kept, oldest first."""
        reports = []
        for path in self._paths():
            document = _read_json(path, _MOST_REPORT_BYTES)
            try:
                reports.append(CrashReport.from_document(document or {}))
            except TypeError:
                log.warning("%s is no crash report.", path)
        return reports

    def clear(self) -> int:
        """Forget all reports; returns how many there were."""
        paths = self._paths()
        for path in paths:
            remove_quietly(self._disk, path)
        return len(paths)

    def taken_fatal(self) -> str:
        """What the fault handler wrote in the run before; empty when nothing. It is not told twice."""
        content = _read(self.fatal, 4 * MOST_DETAIL)
        remove_quietly(self._disk, self.fatal)
        return "" if content is None else content.decode("utf-8", "replace").strip()

    def _paths(self) -> list[Path]:
        paths = (path for path in self.folder.glob("*.json") if path.stem.isascii() and path.stem.isdigit())
        return sorted(paths, key=lambda path: int(path.stem))


def _read(path: Path, most_bytes: int) -> bytes | None:
    try:
        content = read_plain_file(path, most_bytes + 1)
    except OSError:
        return None
    return content if len(content) <= most_bytes else None


def _read_json(path: Path, most_bytes: int) -> dict[str, Any] | None:
    content = _read(path, most_bytes)
    try:
        document = None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        log.warning("%s is damaged; it begins anew.", path)
        return None
    return document if isinstance(document, dict) else None
