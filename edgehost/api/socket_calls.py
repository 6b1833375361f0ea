"""The calls that a socket may make: the same verbs as over HTTP, with the same use cases behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import HTTPConnection

from edgehost.api.calling import context_of
from edgehost.api.permissions import require_permissions
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import NotFoundError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import Record
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE
from edgehost.domain.spec_reader import SpecReader
from edgehost.usecases.answer_port import answer_port
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.list_records import list_records
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import make_query, read_sort, told
from edgehost.usecases.read_conditions import read_conditions
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.run_command import permissions_for, run_command
from edgehost.usecases.show_record import show
from edgehost.usecases.update_record import update_record

_Verb = Callable[[LiveModel, SpecReader], Awaitable[Any]]
#: One message, so that others get their turn on the socket.
_LISTED_BYTES: Final = 1024 * 1024
_LONGEST_KEY: Final = 128


class SocketCalls:
    """Calls on behalf of one connection."""

    def __init__(self, rooms: ApiRooms, connection: HTTPConnection) -> None:
        self._rooms = rooms
        self._keeping = rooms.keeping
        self._connection = connection
        self._verbs: Final[Mapping[str, _Verb]] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "update": self._update,
            "delete": self._delete,
            "command": self._command,
            "port": self._port,
        }

    @property
    def operations(self) -> tuple[str, ...]:
        """What ``call`` knows."""
        return tuple(self._verbs)

    async def call(self, operation: str, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        """The answer to one call.

        Raises:
            RefusedError: the request is not understood; and what the use case raises.
        """
        model = self._rooms.models.table.named(request.text("model"))
        return await self._verbs[operation](model, request)

    async def _create(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "create")
        data, record_id = request.document("data"), request.text("record", default="")
        key = request.text("key", default="", longest=_LONGEST_KEY)
        request.refuse_unknown()
        digest = hashlib.sha256(write_json([record_id, data])).hexdigest()
        created = await create_record(
            self._keeping,
            model,
            data,
            record_id=record_id,
            idempotency=Idempotency(key, digest) if key else None,
            context=context_of(self._connection, model),
        )
        return await self._told(model, created.record)

    async def _get(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "read")
        record_id = request.text("record")
        request.refuse_unknown()
        return await self._told(model, await self._keeping.require(model, record_id))

    async def _list(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "read")
        query = make_query(
            model,
            read_conditions(model, request.document("where")),
            limit=request.whole("limit", default=DEFAULT_PAGE, least=1, most=MAX_PAGE),
            cursor=request.text("cursor", default="", longest=4096),
            sort=read_sort(request.text("sort", default="")),
            fields=request.texts("fields"),
        )
        request.refuse_unknown()
        page = await list_records(
            self._keeping,
            model,
            query,
            most_bytes=_LISTED_BYTES,
            context=context_of(self._connection, model),
        )
        return {
            "records": [told(record, query.fields) for record in page.records],
            "next_cursor": page.next_cursor,
        }

    async def _update(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "update")
        record_id, patch, expected = request.text("record"), request.document("data"), _expected(request)
        request.refuse_unknown()
        record = await update_record(
            self._keeping,
            model,
            record_id,
            patch,
            expected=expected,
            context=context_of(self._connection, model),
        )
        return await self._told(model, record)

    async def _delete(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "delete")
        record_id, expected = request.text("record"), _expected(request)
        request.refuse_unknown()
        context = context_of(self._connection, model)
        await delete_record(self._keeping, model, record_id, expected=expected, context=context)
        return {}

    async def _command(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        record_id, command, expected = request.text("record"), request.text("command"), _expected(request)
        args = request.anything("args")
        request.refuse_unknown()
        require_permissions(self._connection, model, *permissions_for(model.spec, command))
        outcome = await run_command(
            self._keeping,
            model,
            record_id,
            command,
            args,
            expected=expected,
            context=context_of(self._connection, model),
        )
        return {"result": outcome.result} | await self._changed(model, outcome.changed)

    async def _port(self, model: LiveModel, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        require_permissions(self._connection, model, "port")
        if self._rooms.ports is None:
            raise NotFoundError("This host answers no ports.")
        port, record_id, args = (
            request.text("port"),
            request.text("record", default=""),
            request.anything("args"),
        )
        request.refuse_unknown()
        outcome = await answer_port(
            self._rooms.ports,
            model,
            port,
            record_id or None,
            args,
            context=context_of(self._connection, model),
        )
        return {"result": outcome.answer} | await self._changed(model, outcome.record)

    async def _told(self, model: LiveModel, record: Record) -> Mapping[str, Any]:
        return record_document(await show(self._keeping, model, record))

    async def _changed(self, model: LiveModel, record: Record | None) -> dict[str, Any]:
        return {} if record is None else {"record": await self._told(model, record)}


def _expected(request: SpecReader) -> list[str] | None:
    return [request.text("revision")] if request.has("revision") else None
