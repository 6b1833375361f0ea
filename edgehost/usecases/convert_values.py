"""Ask a serializer's export for the other form of some values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgehost.domain.errors import GuestProtocolError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.record_keeping import ComponentCaller

#: A guest's input and output are bounded; what is more is asked for in parts.
_MOST_VALUES: Final = 64
_MOST_BYTES: Final = 64 * 1024


async def convert_values(
    components: ComponentCaller,
    component: str,
    export: str,
    key: str,
    values: Sequence[Any],
    *,
    context: CallContext,
) -> list[Any]:
    """One value for each of these, in their order.

    Raises:
        GuestError: the export failed, or answered with something else.
    """
    converted: list[Any] = []
    for part in _parts(values):
        question = write_json({"key": key, "values": part})
        output = await components.call(component, export, question, context=context)
        try:
            answer = read_json(output) if output else None
        except RefusedError:
            answer = None
        found = answer.get("values") if isinstance(answer, dict) else None
        if not isinstance(found, list) or len(found) != len(part):
            components.blame(component)
            raise GuestProtocolError(
                f"'{export}' of '{component}' answered with something other than {len(part)} values.",
                hint='It must answer {"values": [...]} with one value for each that it was given.',
            )
        converted += found
    return converted


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    size = 0
    for value in values:
        size += len(write_json(value))
        if part and (size > _MOST_BYTES or len(part) == _MOST_VALUES):
            yield part
            part, size = [], len(write_json(value))
        part.append(value)
    if part:
        yield part
