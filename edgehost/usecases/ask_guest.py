"""Ask a component about a record: its hooks and its commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from edgehost.domain.errors import GuestProtocolError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.merge_patch import changes_between
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: Reading JSON takes several times its size in memory, and time in which the host does nothing else.
MAX_ANSWER_BYTES: Final = 2 * 1024 * 1024


async def completed(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    data: Mapping[str, Any],
    *,
    previous: Record | None,
    context: CallContext,
) -> Mapping[str, Any]:
    """The data as the model's hooks would have it stored, checked against the schema before and after.

    Raises:
        InvalidRecordError: the data does not fit the schema.
        GuestFailedError: a hook refuses it.
        GuestError: a hook failed, or answered with data that does not fit.
    """
    model.schema.require_valid(data)
    event = "create" if previous is None else "update"
    hooks = [model.spec.validate] if previous is None else [model.spec.validate, model.spec.on_update]
    for hook in hooks:
        if not hook:
            continue
        question: dict[str, Any] = {"event": event, "id": record_id, "data": data}
        if previous is not None:
            question |= {"previous": previous.data, "changes": changes_between(previous.data, data)}
        answer = await ask(keeping, model, hook, question, context=context, members={"data"})
        if "data" in answer:
            data = require_fitting(keeping, model, hook, answer["data"])
    return data


async def ask(
    keeping: RecordKeeping,
    model: LiveModel,
    export: str,
    question: Mapping[str, Any],
    *,
    context: CallContext,
    members: set[str],
) -> dict[str, Any]:
    """The guest's answer: an object with no other members than these; an empty one when it says nothing.

    Raises:
        GuestError: the guest failed, or answered with something else.
    """
    context = replace(context, record_id=question.get("id", ""))
    output = await keeping.components.call(model.component, export, write_json(question), context=context)
    answer = read_answer(keeping, model.component, export, output)
    if answer is None:
        return {}
    if not isinstance(answer, dict) or not answer.keys() <= members:
        raise _broken_contract(
            keeping,
            model.component,
            export,
            f"with something other than an object of {', '.join(sorted(members))}.",
        )
    return answer


def read_answer(keeping: RecordKeeping, component: str, export: str, output: bytes) -> Any:  # noqa: ANN401 - JSON
    """What a guest put out, as JSON; None when it put out nothing.

    Raises:
        GuestProtocolError: it is no JSON, or too large.
    """
    if not output:
        return None
    if len(output) > MAX_ANSWER_BYTES:
        raise _broken_contract(keeping, component, export, f"with {len(output)} bytes.")
    try:
        return read_json(output)
    except RefusedError as error:
        raise _broken_contract(keeping, component, export, f"badly. {error.message}") from None


def require_fitting(keeping: RecordKeeping, model: LiveModel, export: str, data: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """Data from a guest, when it may be stored.

    Raises:
        GuestProtocolError: it does not fit the schema; the guest is to blame, not the caller.
    """
    try:
        model.schema.require_valid(data)
        keeping.require_storable(data)
    except RefusedError as error:
        raise _broken_contract(
            keeping, model.component, export, f"with data that cannot be stored. {error.message}"
        ) from None
    checked: Mapping[str, Any] = data
    return checked


def _broken_contract(keeping: RecordKeeping, component: str, export: str, how: str) -> GuestProtocolError:
    """The error for an answer that the call itself brought back well; it counts as a fault of the release."""
    keeping.components.blame(component)
    return GuestProtocolError(
        f"'{export}' of '{component}' answered {how}",
        hint="See the table of exports in the guest libraries' README.",
    )
