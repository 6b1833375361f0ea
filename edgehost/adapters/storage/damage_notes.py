"""What was found damaged in a store's files: the reports, and the bytes themselves in a file beside."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.journal_reading import Damage

#: What is set aside for people to look at stays small beside the data.
MAX_SET_ASIDE_BYTES: Final = 1024 * 1024


class DamageNotes:
    """The damages of one store, in the order in which they were found."""

    def __init__(self, file: Path, disk: Disk) -> None:
        self._file = file
        self._disk = disk
        self.damages: list[Damage] = []

    def note_torn(self, path: Path, offset: int, size: int) -> None:
        """Note an unfinished write at the end of a file."""
        if size:
            what = "an unfinished write was dropped; it had not been acknowledged"
            self.note([Damage(path.name, offset, size, what, acknowledged=False)])

    def note(self, damages: Sequence[Damage]) -> None:
        """Keep the report, and the bytes themselves in a file beside."""
        for damage in damages:
            self.damages.append(replace(damage, content=b""))
        found = b"".join([f"# {d}\n".encode() + d.content + b"\n" for d in damages if d.content])
        if found:
            with contextlib.suppress(OSError):  # the report matters more than the bytes
                self._set_aside(found)

    def _set_aside(self, found: bytes) -> None:
        size = self._file.stat().st_size if self._file.exists() else 0
        found = found[: max(0, MAX_SET_ASIDE_BYTES - size)]
        descriptor = self._disk.open(self._file)
        try:
            self._disk.write(descriptor, found, size)
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)
