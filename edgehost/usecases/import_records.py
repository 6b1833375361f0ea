"""Create many records from a stream: in bounded memory, each checked as if it came alone."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import ConflictError, EdgehostError, RefusedError, UnavailableError
from edgehost.domain.json_text import same_json
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.create_record import create_record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.record_lines import BadLine, BulkFormat, Line, read_lines
from edgehost.usecases.update_record import change_record

#: Written side by side, so that one sync serves them all.
_TOGETHER: Final = 256
_TOGETHER_BYTES: Final = 2 * 1024 * 1024
#: Told one by one; the others are counted.
MAX_TOLD_ERRORS: Final = 100


class OnError(enum.StrEnum):
    """What a line that cannot be imported means for the others."""

    STOP = "stop"  # those that follow are not read; those beside it may be stored
    SKIP = "skip"


@dataclass(slots=True)
class ImportReport:
    """What became of the lines so far."""

    lines: int = 0
    created: int = 0
    replaced: int = 0
    unchanged: int = 0  # were there already, with the same data
    failed: int = 0
    errors: list[tuple[int, str, str]] = field(default_factory=list)  # line, code, message; the first ones
    stopped: bool = False  # lines may follow that were not read

    def document(self) -> dict[str, Any]:
        """The report as clients see it."""
        return {
            "lines": self.lines,
            "created": self.created,
            "replaced": self.replaced,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "stopped": self.stopped,
            "errors": [
                {"line": line, "code": code, "message": message} for line, code, message in self.errors
            ],
        }

    def note(self, line: int, error: EdgehostError) -> None:
        """Count a line that was not imported."""
        self.failed += 1
        if len(self.errors) < MAX_TOLD_ERRORS:
            self.errors.append((line, error.code, str(error)))


async def import_records(
    keeping: RecordKeeping,
    model: LiveModel,
    chunks: AsyncIterator[bytes],
    *,
    form: BulkFormat = BulkFormat.NDJSON,
    on_error: OnError = OnError.STOP,
    replace: bool = False,
    progress: Callable[[ImportReport], None] | None = None,
    context: CallContext = CallContext(),
) -> ImportReport:
    """Create a record for each line, through the model's hooks and schema, with events, as single requests do.

    A line with an id that is stored with the same data changes nothing, so an import can be repeated; with other
    data it is an error, or with ``replace`` the new data. Errors of lines are in the report, not raised;
    one of the store (full, away) stops the import whatever ``on_error`` says.
    """
    importing = _Importing(keeping, model, replace, context)
    report = importing.report
    lines = read_lines(chunks, form, record_bytes=keeping.record_bytes)
    try:
        async for batch in _batches(lines):
            await importing.take(batch)
            if progress is not None:
                progress(report)
            if importing.broken or (report.failed and on_error is OnError.STOP):
                report.stopped = True
                break
    except RefusedError as error:  # the stream itself: what follows cannot be read
        report.note(report.lines + 1, error)
        report.stopped = True
    report.errors.sort()
    return report


async def _batches(lines: AsyncIterator[Line | BadLine]) -> AsyncIterator[list[Line | BadLine]]:
    batch: list[Line | BadLine] = []
    size = 0
    try:
        async for line in lines:
            batch.append(line)
            size += line.size_bytes if isinstance(line, Line) else 0
            if len(batch) >= _TOGETHER or size >= _TOGETHER_BYTES:
                yield batch
                batch, size = [], 0
    except RefusedError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


@dataclass(slots=True)
class _Importing:
    keeping: RecordKeeping
    model: LiveModel
    replace: bool
    context: CallContext
    report: ImportReport = field(default_factory=ImportReport)
    broken: bool = False  # the store does not take any more

    async def take(self, batch: list[Line | BadLine]) -> None:
        """Import these side by side."""
        async with asyncio.TaskGroup() as tasks:
            for line in batch:
                self.report.lines += 1
                if isinstance(line, BadLine):
                    self.report.note(line.number, line.error)
                else:
                    tasks.create_task(self._take(line), name="edgehost.import")

    async def _take(self, line: Line) -> None:
        try:
            self.keeping.require_storable(line.data)
            await self._store(line)
        except UnavailableError as error:
            self.broken = True
            self.report.note(line.number, error)
        except EdgehostError as error:
            self.report.note(line.number, error)

    async def _store(self, line: Line) -> None:
        try:
            await create_record(
                self.keeping, self.model, line.data, record_id=line.record_id, context=self.context
            )
        except ConflictError:
            stored = (
                await self.keeping.store.get(self.model.spec.name, line.record_id) if line.record_id else None
            )
            if stored is None:
                raise
            if same_json(dict(stored.data), dict(line.data)):
                self.report.unchanged += 1
            elif self.replace:
                await change_record(
                    self.keeping, self.model, line.record_id, lambda _: line.data, context=self.context
                )
                self.report.replaced += 1
            else:
                raise ConflictError(
                    f"'{line.record_id}' is stored with other data.", hint="Replace it, or use another id."
                ) from None
        else:
            self.report.created += 1
