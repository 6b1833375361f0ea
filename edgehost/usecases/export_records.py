"""All records of a model that match, as one stream: page by page, as the network may see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from edgehost.domain.record_query import MAX_PAGE, RecordQuery
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.list_records import list_records
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import told
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.record_lines import BulkFormat, write_line

#: What is in memory at a time.
_PAGE_BYTES: Final = 256 * 1024


async def export_records(
    keeping: RecordKeeping,
    model: LiveModel,
    query: RecordQuery,
    *,
    form: BulkFormat = BulkFormat.NDJSON,
    context: CallContext = CallContext(),
) -> AsyncGenerator[bytes, None]:
    """Some lines or items at a time, for ``import_records`` to read; ``limit`` of the query is not looked at.

    Records that come or go meanwhile may be in it or not; no other is left out, and none comes twice.

    Raises:
        InvalidQueryError: the query looks at what is not shown.
        GuestError: an export that serializes a member failed.
    """
    part = replace(query, limit=MAX_PAGE)
    while True:
        page = await list_records(keeping, model, part, most_bytes=_PAGE_BYTES, context=context)
        yield b"".join(write_line(told(record, query.fields), form) for record in page.records)
        if not page.next_cursor:
            return
        part = replace(part, after=page.next_cursor)
