"""Lists of records: pages, streams, numbers and figures."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgehost.api.calling import context_of
from edgehost.api.event_stream import send_part
from edgehost.api.filters import ListQuestion, read_question
from edgehost.api.list_options import read_aggregate
from edgehost.api.reading import JSON, query_parameters
from edgehost.api.relation_routes import RelationRoutes
from edgehost.api.responses import json_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import BusyError, EdgehostError, InvalidQueryError
from edgehost.usecases.export_records import export_records
from edgehost.usecases.list_records import (
    count_records,
    find_records,
    list_records,
    page_json,
    require_stream,
    sum_up_records,
)
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import told
from edgehost.usecases.record_lines import BulkFormat

log = logging.getLogger("edgehost.api")

#: What a list can be streamed as, and what an import reads.
STREAMED: Final = {"application/x-ndjson": BulkFormat.NDJSON, "application/cbor-seq": BulkFormat.CBOR}
_MEDIA_TYPES: Final = {form: media for media, form in STREAMED.items()}
#: Each holds a connection and a part of the answer.
MAX_STREAMS: Final = 8
_FIGURES: Final = ("group_by", "bucket")


class ListRoutes:
    """Answers ``GET models/<endpoint>``."""

    def __init__(self, rooms: ApiRooms, relations: RelationRoutes) -> None:
        self._rooms = rooms
        self._relations = relations
        self._streams = 0

    async def answer(self, request: Request, model: LiveModel) -> ASGIApp:
        """A page, or what the options ask for instead.

        Raises:
            InvalidQueryError, or what the use case raises.
        """
        question = read_question(model, request)
        form = _stream_form(request, question)
        kinds = [
            kind
            for kind, asked in (
                ("count", question.flag("count")),
                (
                    "aggregate",
                    "aggregate" in question.options or any(name in question.options for name in _FIGURES),
                ),
                ("include", "include" in question.options),
                ("format", form is not None),
            )
            if asked
        ]
        if len(kinds) > 1:
            raise InvalidQueryError(f"{' and '.join(kinds)} cannot be had together.", hint="Ask twice.")
        keeping, query = self._rooms.keeping, question.query
        match kinds:
            case ["count"]:
                return json_response({"count": await count_records(keeping, model, query)})
            case ["aggregate"]:
                rows = await sum_up_records(keeping, model, read_aggregate(query, question.options))
                return json_response({"rows": [row.document() for row in rows]})
            case ["format"] if form is not None:
                return await self._stream(request, model, question, form)
            case _:
                return await self._page(request, model, question)

    async def _page(self, request: Request, model: LiveModel, question: ListQuestion) -> Response:
        keeping, query = self._rooms.keeping, question.query
        documents: Sequence[Mapping[str, Any]]
        if include := question.options.get("include"):
            page = await find_records(keeping, model, query)
            documents = await self._relations.included(request, model, page.records, include)
        else:
            page = await list_records(keeping, model, query, context=context_of(request, model))
            documents = [told(record, query.fields) for record in page.records]
        headers = {}
        if page.next_cursor:
            kept = [(name, value) for name, value in query_parameters(request) if name != "cursor"]
            following = urlencode([*kept, ("cursor", page.next_cursor)])
            path = f"{self._rooms.root}/models/{quote(model.spec.endpoint)}"
            headers["link"] = f'<{path}?{following}>; rel="next"'
        return Response(page_json(documents, page.next_cursor), headers=headers, media_type=JSON)

    async def _stream(
        self, request: Request, model: LiveModel, question: ListQuestion, form: BulkFormat
    ) -> ASGIApp:
        await require_stream(self._rooms.keeping, model, question.query)
        if self._streams >= MAX_STREAMS:
            raise BusyError(f"{self._streams} lists are streamed, as many as may be.", hint="Try later.")
        parts = export_records(
            self._rooms.keeping, model, question.query, form=form, context=context_of(request, model)
        )
        head_only = request.method == "HEAD"
        # Before the answer begins, so that what cannot be read at all is still an error.
        first = b"" if head_only else await anext(parts, b"")

        async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
            self._streams += 1
            try:
                headers = [(b"content-type", _MEDIA_TYPES[form].encode()), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
                async with aclosing(parts):
                    await _send_parts(first, parts, send, head_only=head_only)
            finally:
                self._streams -= 1

        return stream


def _stream_form(request: Request, question: ListQuestion) -> BulkFormat | None:
    """The form of the stream that is asked for by ``format`` or Accept; None for a page."""
    wanted = question.options.get("format")
    if wanted is None:
        accepted = request.headers.get("accept", "")
        return next((form for media, form in STREAMED.items() if media in accepted), None)
    if wanted not in {"json", *BulkFormat}:
        raise InvalidQueryError(
            f"format is {wanted[:80]!r}.",
            hint=f"Use format=json, {' or '.join(f'format={each}' for each in BulkFormat)}.",
        )
    return None if wanted == "json" else BulkFormat(wanted)


async def _send_parts(
    first: bytes, parts: AsyncGenerator[bytes, None], send: Send, *, head_only: bool
) -> None:
    """Whoever does not get the end of the answer sees that it was cut."""
    try:
        await send_part(send, first)
        if not head_only:
            async for part in parts:
                await send_part(send, part)
    except (EdgehostError, TimeoutError) as error:
        log.warning("A stream of records was cut: %s", str(error) or "its client takes nothing.")
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})
