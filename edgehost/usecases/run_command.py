"""Run a command of a model on one of its records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from edgehost.domain.errors import ConflictError, NotFoundError, RevisionConflictError
from edgehost.domain.json_text import same_json
from edgehost.domain.record import Record
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask, require_fitting
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping, record_document, require_expected
from edgehost.usecases.update_record import store_change


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What the guest answered, and the record when it changed it."""

    result: Any
    changed: Record | None = None


async def run_command(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    command: str,
    args: object,
    *,
    expected: Collection[str] | None = None,
    context: CallContext = CallContext(),
) -> CommandOutcome:
    """Call the guest once; it is never repeated, since commands act on the world.

    Raises:
        NotFoundError: there is no such command or record.
        GuestError: the guest failed or refused.
        RevisionConflictError: the record has none of the expected revisions; the guest was not called.
        ConflictError: the record changed while the command ran; its own change was not stored.
    """
    spec = model.spec.commands.get(command)
    if spec is None:
        raise NotFoundError(
            f"'{model.spec.endpoint}' has no command '{command[:80]}'.",
            hint=did_you_mean(command[:80], model.spec.commands),
        )
    async with keeping.turn(model, record_id, context):
        before = await keeping.require(model, record_id)
        require_expected(before, expected)
        question = {"id": record_id, "record": record_document(before), "args": args}
        answer = await ask(keeping, model, spec.export, question, context=context, members={"result", "data"})
        result = answer.get("result")
        if "data" not in answer:
            return CommandOutcome(result)
        data = require_fitting(keeping, model, spec.export, answer["data"])
        if same_json(data, before.data):
            return CommandOutcome(result)
        try:
            return CommandOutcome(result, await store_change(keeping, before, data))
        except RevisionConflictError:
            raise ConflictError(
                f"The command '{command}' ran, but the record '{record_id}' changed meanwhile; "
                "the command's own change was not stored.",
                hint="Read the record and decide whether to run the command again.",
            ) from None
