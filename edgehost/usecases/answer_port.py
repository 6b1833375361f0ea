"""Answer an inbound port: HTTP, MQTT or an event asks, a guest's export answers, what it says is stored."""

from __future__ import annotations

from typing import Any

from edgehost.domain.port_spec import Direction
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask
from edgehost.usecases.invoke_port import require_port
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_call import PortCall, PortOutcome, Taken, settled_call
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.take_answer import ask_and_store, take_answer


async def answer_port(
    rooms: PortRooms,
    model: LiveModel,
    port: str,
    record_id: str | None,
    args: Any,  # noqa: ANN401 - JSON
    *,
    context: CallContext = CallContext(),
    token: str = "",
) -> PortOutcome:
    """The guest's result, and the record when it changed it, or created one (``data`` without an id).

    Raises:
        NotFoundError: the model has no such inbound port, or no such record.
        RefusedError: the port is not enabled.
        CircuitOpenError: its breaker is open, and it names no fallback.
        GuestError: the guest failed or refused.
        ConflictError: the record changed meanwhile; the guest's own change was not stored.
    """
    spec = require_port(model, port, Direction.INBOUND)
    known_id = record_id or ""
    if known_id:
        await rooms.keeping.require(model, known_id)
    question = {"port": port, "args": args} | ({"token": token} if token else {})

    async def once(_until: float) -> Any:  # noqa: ANN401 - JSON
        said, record = await ask_and_store(
            rooms, model, spec.export or port, known_id, question, context=context
        )
        return Taken(said.get("result"), record)

    async def instead(export: str) -> Any:  # noqa: ANN401 - JSON
        asked: dict[str, Any] = {"port": port, "model": model.spec.name, "args": args}
        if known_id:
            record = await rooms.keeping.require(model, known_id)
            asked |= {"id": known_id, "record": record_document(record)}
        said = await ask(rooms.keeping, model, export, asked, context=context, members={"answer"})
        return Taken(said.get("answer"))

    async def take(said: Taken) -> Taken:
        if not spec.keys and not spec.callback:
            return said
        of = known_id or (said.record.id if said.record is not None else "")
        more = await take_answer(
            rooms, model, port, spec, record_id=of, args=args, answer=said.answer, context=context
        )
        return Taken(more.answer, more.record or said.record)

    call = PortCall(model.spec.name, port, spec, known_id, once, instead, take, tells=not token)
    return await settled_call(rooms, call, context)
