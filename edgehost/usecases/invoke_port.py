"""Call an outbound port of a model: through its adapter to a service, and what the answer changes.

The record is changed, and success told, only after the world has answered; what fails then is not tried again,
since the world would be asked twice.
"""

from __future__ import annotations

from typing import Any

from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.domain.port_spec import Direction, PortSpec
from edgehost.domain.record import Record
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_call import PortCall, PortOutcome, Taken, settled_call
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.take_answer import ask_and_store, take_answer


async def invoke_port(
    rooms: PortRooms,
    model: LiveModel,
    port: str,
    record: Record | None,
    args: Any,  # noqa: ANN401 - JSON
    *,
    context: CallContext = CallContext(),
    token: str = "",
) -> PortOutcome:
    """Call the port with a record, or without one; its answer, and the record when the answer changed it.

    ``token`` is a workflow's: what it leads to can tell a repeated call by it, and the workflow tells of success.

    Raises:
        NotFoundError: the model has no such outbound port.
        RefusedError: the port is not enabled.
        CircuitOpenError: its breaker is open, and it names no fallback.
        PortTimeoutError, PortUnboundError, GuestError, EdgehostError: of the last try, or of storing the answer.
    """
    spec = require_port(model, port, Direction.OUTBOUND)
    context.acting(f"The port '{model.spec.name}.{port}'")
    document: dict[str, Any] = {"port": port, "model": model.spec.name, "args": args}
    if token:
        document["token"] = token
    if record is not None:
        document["record"] = record_document(record)
    record_id = record.id if record is not None else ""

    async def once(until: float) -> Any:  # noqa: ANN401 - JSON
        route = rooms.route(model, port, spec)
        return await rooms.carry(route, document, context=context, until=until)

    async def instead(export: str) -> Any:  # noqa: ANN401 - JSON
        question = document | ({"id": record_id} if record_id else {})
        return (await ask(rooms.keeping, model, export, question, context=context, members={"answer"})).get(
            "answer"
        )

    async def take(answer: Any) -> Taken:  # noqa: ANN401 - JSON
        return await take_answer(
            rooms, model, port, spec, record_id=record_id, args=None, answer=answer, context=context
        )

    call = PortCall(model.spec.name, port, spec, record_id, once, instead, take, tells=not token)
    return await settled_call(rooms, call, context)


async def undo_port(
    rooms: PortRooms,
    model: LiveModel,
    port: str,
    record: Record | None,
    args: Any,  # noqa: ANN401 - JSON
    *,
    answer: Any = None,  # noqa: ANN401 - JSON
    context: CallContext = CallContext(),
    token: str = "",
) -> PortOutcome:
    """Take the effect of a port's call back, by the export or the outbound port that it names as ``undo``.

    ``answer`` is what the call had answered, ``token`` the one that it had. An undo port gets ``{"args", "answer"}``
    as its arguments.

    Raises:
        NotFoundError: there is no such port, or it names no undo.
        EdgehostError: as for invoke_port.
    """
    spec = require_port(model, port, None)
    if not spec.undo:
        raise NotFoundError(
            f"The port '{model.spec.name}.{port}' names no undo.", hint="Set undo in component.toml."
        )
    if spec.undo in model.spec.ports:
        given = {"args": args, "answer": answer}
        return await invoke_port(rooms, model, spec.undo, record, given, context=context, token=token)
    context.acting(f"The undo of '{model.spec.name}.{port}'")
    question = {"port": port, "args": args, "answer": answer} | ({"token": token} if token else {})
    said, changed = await ask_and_store(
        rooms, model, spec.undo, record.id if record is not None else "", question, context=context
    )
    return PortOutcome(said.get("result"), changed)


def require_port(model: LiveModel, port: str, direction: Direction | None) -> PortSpec:
    """The port's specification.

    Raises:
        NotFoundError: the model has no such port in this direction.
        RefusedError: it is not enabled.
    """
    ports = {name: spec for name, spec in model.spec.ports.items() if direction in {None, spec.direction}}
    spec = ports.get(port)
    if spec is None:
        kind = f"{direction} port" if direction is not None else "port"
        raise NotFoundError(
            f"'{model.spec.endpoint}' has no {kind} '{port[:80]}'.", hint=did_you_mean(port[:80], ports)
        )
    if not spec.enabled:
        raise RefusedError(
            f"The port '{model.spec.name}.{port}' is not enabled.",
            hint="Its specification says enabled = false.",
        )
    return spec
