"""Ask a component about a record, and hold it to what it may answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from edgehost.domain.errors import GuestProtocolError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: Reading JSON takes several times its size in memory, and time in which the host does nothing else.
MAX_ANSWER_BYTES: Final = 2 * 1024 * 1024


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


def require_fitting(
    keeping: RecordKeeping,
    model: LiveModel,
    export: str,
    data: Any,  # noqa: ANN401 - JSON
    *,
    without: frozenset[str] = frozenset(),
) -> Mapping[str, Any]:
    """Data from a guest, when it may be stored; ``without`` are members that the record has beside it.

    Raises:
        GuestProtocolError: it does not fit the schema; the guest is to blame, not the caller.
    """
    with to_blame(keeping, model, export):
        model.schema.without(without).require_valid(data)
        keeping.require_storable(data)
    checked: Mapping[str, Any] = data
    return checked


@contextmanager
def to_blame(keeping: RecordKeeping, model: LiveModel, export: str) -> Iterator[None]:
    """What is refused inside is the guest's fault, not the caller's.

    Raises:
        GuestProtocolError: something was.
    """
    try:
        yield
    except RefusedError as error:
        raise _broken_contract(
            keeping, model.component, export, f"with data that cannot be stored. {error.message}"
        ) from None


def _broken_contract(keeping: RecordKeeping, component: str, export: str, how: str) -> GuestProtocolError:
    """The error for an answer that the call itself brought back well; it counts as a fault of the release."""
    keeping.components.blame(component)
    return GuestProtocolError(
        f"'{export}' of '{component}' answered {how}",
        hint="See the table of exports in the guest libraries' README.",
    )
