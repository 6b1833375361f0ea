"""What a host remembers of its own starts, ends and configurations. All calls block, for a few milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgehost.domain.boot_record import BootRecord
from edgehost.domain.config_generation import Generations
from edgehost.domain.crash_report import CrashReport


class GenerationStore(Protocol):
    """Numbered configurations; a crash leaves the table of before or after."""

    def load(self) -> Generations:
        """What was kept last; empty when nothing was, or when it is damaged."""
        ...

    def newest_number(self) -> int:
        """The largest number that a text is kept under, also of generations that the table has lost."""
        ...

    def keep(self, generations: Generations, *, text: bytes | None = None) -> None:
        """Keep the table, and the text of its newest generation where that is new; texts no longer named go.

        Raises:
            StorageFullError, UnavailableError: nothing was changed.
        """
        ...

    def text(self, number: int, digest: str) -> bytes | None:
        """The text of a generation; None when it is lost or has another digest."""
        ...


class BootRecordStore(Protocol):
    """One small record."""

    def load(self) -> BootRecord:
        """What was kept last; a new record when nothing was, or when it is damaged."""
        ...

    def keep(self, record: BootRecord) -> None:
        """Keep it durably; a disk that refuses is logged, since it must not keep a host from starting."""
        ...


class CrashReports(Protocol):
    """The last few reports."""

    def add(self, report: CrashReport) -> None:
        """Keep the report, the oldest one goes; a disk that refuses is logged."""
        ...

    def all(self) -> Sequence[CrashReport]:
        """What is kept, oldest first."""
        ...
