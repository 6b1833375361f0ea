"""Store what a port's answer makes of a record: by the port's callback, by its keys, or as the guest says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgehost.domain.errors import ConflictError, RevisionConflictError
from edgehost.domain.port_spec import PortSpec
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask, require_fitting
from edgehost.usecases.create_record import create_record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_call import Taken
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.update_record import change_record

#: What exports of ports may answer with.
MEMBERS = {"result", "data"}


async def take_answer(
    rooms: PortRooms,
    model: LiveModel,
    port: str,
    spec: PortSpec,
    *,
    record_id: str,
    args: Any,  # noqa: ANN401 - JSON
    answer: Any,  # noqa: ANN401 - JSON
    context: CallContext,
) -> Taken:
    """Ask the callback, or merge the keys; members that the answer lacks come from the arguments.

    Raises:
        EdgehostError: as for every change of a record; ConflictError when it changed under the callback.
    """
    if spec.callback:
        question = {"port": port, "args": args, "answer": answer}
        said, record = await ask_and_store(rooms, model, spec.callback, record_id, question, context=context)
        return Taken(said.get("result", answer), record)
    taken: dict[str, Any] = {}
    for source in (args, answer):
        if isinstance(source, Mapping):
            taken |= {key: source[key] for key in spec.keys if key in source}
    if not taken or not record_id:
        return Taken(answer)
    changed = await change_record(
        rooms.keeping, model, record_id, lambda before: {**before, **taken}, context=context
    )
    return Taken(answer, changed)


async def ask_and_store(
    rooms: PortRooms,
    model: LiveModel,
    export: str,
    record_id: str,
    question: Mapping[str, Any],
    *,
    context: CallContext,
) -> tuple[dict[str, Any], Record | None]:
    """Ask an export about a record (or about none), and store the ``data`` that it answers, if any.

    Raises:
        NotFoundError: there is no such record.
        GuestError: the guest failed, refused, or answered with something else.
        ConflictError: the record changed meanwhile; the guest's own change was not stored.
    """
    keeping = rooms.keeping
    if not record_id:
        said = await ask(keeping, model, export, question, context=context, members=MEMBERS)
        if "data" not in said:
            return said, None
        data = require_fitting(keeping, model, export, said["data"])
        return said, (await create_record(keeping, model, data, context=context)).record
    async with keeping.turn(model, record_id, context):
        model = keeping.current(model)
        before = await keeping.require(model, record_id)
        asked = {"id": record_id, "record": record_document(before), **question}
        said = await ask(keeping, model, export, asked, context=context, members=MEMBERS)
        if "data" not in said:
            return said, None
        data = require_fitting(keeping, model, export, said["data"])
        # The turn is held already: the change is made as one that the guest asked for itself.
        inner = context if context.chain else replace(context, chain=(model.component,))
        try:
            return said, await change_record(
                keeping, model, record_id, lambda _: data, expected=[before.revision], context=inner
            )
        except RevisionConflictError:
            raise ConflictError(
                f"'{export}' ran, but the record '{record_id}' changed meanwhile; its own change was not stored.",
                hint="Read the record and decide whether to call again.",
            ) from None
