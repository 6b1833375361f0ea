"""Lists of records as the network may see them: in pages, as a stream, counted, summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.json_text import tell_json, write_json
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow, require_aggregate
from edgehost.domain.record_query import Filter, RecordPage, RecordQuery, leaves
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_fields import types_of
from edgehost.usecases.query_records import MAX_PAGE_BYTES, require_streamable
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.show_record import shown


async def list_records(
    keeping: RecordKeeping,
    model: LiveModel,
    query: RecordQuery,
    *,
    most_bytes: int = MAX_PAGE_BYTES,
    context: CallContext = CallContext(),
) -> RecordPage:
    """One page of the records that match; shorter than asked for when they are large.

    Raises:
        InvalidQueryError: the cursor is not one of this store's, or the query looks at what is not shown.
        GuestError: an export that serializes a member failed.
    """
    page = await find_records(keeping, model, query, most_bytes=most_bytes)
    return RecordPage(tuple(await shown(keeping, model, page.records, context=context)), page.next_cursor)


async def find_records(
    keeping: RecordKeeping, model: LiveModel, query: RecordQuery, *, most_bytes: int = MAX_PAGE_BYTES
) -> RecordPage:
    """As ``list_records``, with the records as they are stored.

    Raises:
        InvalidQueryError: as for ``list_records``.
    """
    require_shown_fields(model.spec, query)
    await keeping.gates.passed(query.model)
    return await keeping.store.find(replace(query, most_bytes=most_bytes))


async def require_stream(keeping: RecordKeeping, model: LiveModel, query: RecordQuery) -> None:
    """Check a stream before its answer begins.

    Raises:
        InvalidQueryError: it would sort the same records over and over, or looks at what is not shown.
    """
    require_shown_fields(model.spec, query)
    await require_streamable(keeping, query)


async def count_records(keeping: RecordKeeping, model: LiveModel, query: RecordQuery) -> int:
    """How many records match.

    Raises:
        InvalidQueryError: the query looks at what is not shown.
    """
    require_shown_fields(model.spec, query)
    return await keeping.store.count(query.model, query.filters)


async def sum_up_records(
    keeping: RecordKeeping, model: LiveModel, query: AggregateQuery
) -> tuple[AggregateRow, ...]:
    """Figures over the records that match, in groups.

    Raises:
        InvalidQueryError: a field is unknown or not shown, or there are too many groups.
    """
    require_aggregate(query)
    for path in query.fields:
        types_of(model, path)
    require_visible(model.spec, query.fields)
    require_shown_fields(model.spec, RecordQuery(query.model, query.filters))
    return await keeping.store.aggregate(query)


def page_json(documents: Sequence[Any], next_cursor: str) -> bytes:
    """A page of records as one JSON document."""
    texts = b",".join(tell_json(document) for document in documents)
    return b'{"records":[' + texts + b'],"next_cursor":' + write_json(next_cursor) + b"}"


def require_shown_fields(model: ModelSpec, query: RecordQuery) -> None:
    """Refuse conditions and an order by which a member that is not shown could be guessed.

    Raises:
        InvalidQueryError: there is one.
    """
    named = [sort.field for sort in query.sort]
    for leaf in leaves(query.filters):
        named += [leaf.field] if isinstance(leaf, Filter) else leaf.fields
    require_visible(model, named)


def require_visible(model: ModelSpec, paths: Sequence[str]) -> None:
    """Refuse fields that are left out, masked or rewritten on their way out.

    Raises:
        InvalidQueryError: there is one.
    """
    hidden = {each.key for each in model.serializers if each.on == "network"}
    for path in paths:
        if path.partition(".")[0] in hidden:
            raise InvalidQueryError(
                f"'{path[:80]}' does not leave this host as it is stored: it cannot be asked for.",
                hint="Ask for another field.",
            )
