"""Many records in one request: read as it comes, each line checked as if it came alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edgehost.api.calling import context_of
from edgehost.api.list_routes import STREAMED
from edgehost.api.permissions import require_permissions
from edgehost.api.problems import MediaTypeError, RequestTimeoutError
from edgehost.api.reading import BODY_TIMEOUT_S, query_parameters
from edgehost.api.responses import json_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import BusyError, InvalidQueryError
from edgehost.usecases.import_records import OnError, import_records
from edgehost.usecases.live_models import LiveModel

#: Each keeps a batch of records in memory, and the store busy.
MAX_IMPORTS: Final = 2
_OPTIONS: Final = {"on_error": tuple(OnError), "replace": ("false", "true")}


class BulkRoutes:
    """Answers ``POST models/<endpoint>/bulk``."""

    def __init__(self, rooms: ApiRooms) -> None:
        self._rooms = rooms
        self._running = 0

    async def answer(self, request: Request, model: LiveModel) -> Response:
        """A report of what became of the lines.

        Raises:
            InvalidQueryError, MediaTypeError, BusyError: nothing was imported.
            RequestTimeoutError: the stream paused for too long; what came until then is stored.
        """
        options = _read_options(request)
        replace = options.get("replace") == "true"
        require_permissions(request, model, "create", *(["update"] if replace else []))
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        form = STREAMED.get(kind)
        if form is None or request.headers.get("content-encoding", "identity") != "identity":
            accepted = ", ".join(STREAMED)
            raise MediaTypeError(
                f"The body is {kind[:80] or 'of no stated type'}, which cannot be imported.",
                hint=f"Send {accepted}, not compressed.",
                headers={"accept": accepted, "connection": "close"},
            )
        if self._running >= MAX_IMPORTS:
            raise BusyError(f"{self._running} imports run, as many as may.", hint="Try later.")
        self._running += 1
        try:
            async with aclosing(_body_parts(request)) as parts:
                report = await import_records(
                    self._rooms.keeping,
                    model,
                    parts,
                    form=form,
                    on_error=OnError(options.get("on_error", OnError.STOP)),
                    replace=replace,
                    context=context_of(request, model),
                )
        finally:
            self._running -= 1
        # What was not read would be taken for the next request.
        headers = {"connection": "close"} if report.stopped else {}
        return json_response(report.document(), headers=headers)


async def _body_parts(request: Request) -> AsyncGenerator[bytes, None]:
    while True:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                message = await request.receive()
        except TimeoutError:
            raise RequestTimeoutError(
                f"Nothing came for {BODY_TIMEOUT_S:.0f} s.",
                hint="What came until then is stored. Send the rest, or all of it, again.",
                headers={"connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if part := message.get("body", b""):
            yield part
        if not message.get("more_body", False):
            return


def _read_options(request: Request) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, text in query_parameters(request):
        if name not in _OPTIONS or name in options or text not in _OPTIONS[name]:
            raise InvalidQueryError(
                f"{name[:80]}={text[:80]!r} is not understood here.",
                hint="Use on_error=stop or on_error=skip, and replace=true.",
            )
        options[name] = text
    return options
