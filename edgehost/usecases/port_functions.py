"""The host functions ``port`` and ``service``: a model calls its outbound ports, an adapter its service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from edgehost.domain.call_policy import LONGEST_CALL_S
from edgehost.domain.component_spec import Kind
from edgehost.domain.errors import NotFoundError, NotGrantedError
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.host_functions import MoreFunction
from edgehost.usecases.invoke_port import invoke_port
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import record_document


def port_functions(rooms: PortRooms) -> Mapping[str, MoreFunction]:
    """The functions by name; whether a component may use them is checked before."""

    async def port(component: str, context: CallContext, request: SpecReader) -> Mapping[str, Any]:
        name, args = request.text("port"), request.anything("args")
        record_id = request.text("id", default="")
        request.refuse_unknown()
        model = next(
            (each for each in rooms.models.table.by_name.values() if each.component == component), None
        )
        if model is None:
            raise NotFoundError(f"'{component}' is no model that is live.")
        record = await rooms.keeping.require(model, record_id) if record_id else None
        outcome = await invoke_port(rooms, model, name, record, args, context=context)
        changed = {} if outcome.record is None else {"record": record_document(outcome.record)}
        return {"answer": outcome.answer} | changed

    async def service(component: str, context: CallContext, request: SpecReader) -> Any:  # noqa: ANN401 - JSON
        function, given = request.text("function", default=""), request.anything("input")
        request.refuse_unknown()
        found = rooms.directory.find(component)
        if found is None or found.spec.kind is not Kind.ADAPTER:
            raise NotGrantedError(f"'{component}' is no adapter, so it is bound to no service.")
        bound = context.bound
        if bound is not None and bound.adapter == component:
            name, until = bound.service, bound.until
        else:
            name, until = rooms.service_of(found.spec), float("inf")
        latest = asyncio.get_running_loop().time() + LONGEST_CALL_S
        return await rooms.ask_service(
            name,
            function,
            given,
            user=component,
            context=context,
            until=min(until, context.deadline, latest),
            lenient=not function,
        )

    return {"port": port, "service": service}
