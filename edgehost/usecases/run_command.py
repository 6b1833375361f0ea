"""Run a command of a model on one of its records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from edgehost.domain.errors import ConflictError, NotFoundError, RevisionConflictError
from edgehost.domain.model_consistency import VERIFY, hashed_members
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record import Record
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask
from edgehost.usecases.complete_record import settled
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping, record_document, require_expected
from edgehost.usecases.update_record import store_change
from edgehost.usecases.verify_member import verify_members


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
    if command == VERIFY and hashed_members(model.spec):
        return CommandOutcome(await verify_members(keeping, model, record_id, args))
    spec = model.spec.commands.get(command)
    if spec is None or not spec.enabled:
        raise NotFoundError(
            f"'{model.spec.endpoint}' has no command '{command[:80]}'.",
            hint=did_you_mean(command[:80], commands_of(model.spec)),
        )
    await keeping.bus.room(wait=not context.chain)
    async with keeping.turn(model, record_id, context):
        model = keeping.current(model)
        before = await keeping.require(model, record_id)
        require_expected(before, expected)
        question = {"id": record_id, "record": record_document(before), "args": args}
        answer = await ask(keeping, model, spec.export, question, context=context, members={"result", "data"})
        result = answer.get("result")
        if "data" not in answer:
            return CommandOutcome(result)
        wanted = await settled(keeping, model, before, spec.export, answer["data"], context=context)
        if wanted.same_as(before):
            return CommandOutcome(result)
        try:
            return CommandOutcome(result, await store_change(keeping, model, before, wanted, context=context))
        except RevisionConflictError:
            raise ConflictError(
                f"The command '{command}' ran, but the record '{record_id}' changed meanwhile; "
                "the command's own change was not stored.",
                hint="Read the record and decide whether to run the command again.",
            ) from None


def commands_of(model: ModelSpec) -> tuple[str, ...]:
    """The commands that may be called, the host's own included."""
    own = (VERIFY,) if hashed_members(model) else ()
    return (*own, *(name for name, command in model.commands.items() if command.enabled))


def permissions_for(model: ModelSpec, command: str) -> tuple[str, ...]:
    """What a caller of the command needs."""
    spec = model.commands.get(command)
    return ("command",) if spec is None else spec.acl
