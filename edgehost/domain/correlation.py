"""Which record of a model an event is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.event_pattern import member
from edgehost.domain.events import Event

#: A member of this name holds the id where no ``<model>_id`` does.
CORRELATION: Final = "correlation"
#: Where the events' own data stands.
_PAYLOADS: Final = ("data", "answer")


def correlated(event: Event, model: str) -> str:
    """The id of the model's record that the event is about; "" when it does not say.

    It is about a record when it names model and id itself, or when its data holds the id as ``<model>_id`` (with
    ``_`` for ``-``) or as ``correlation``.
    """
    details = event.details()
    if details.get("model") == model and isinstance(details.get("id"), str):
        return str(details["id"])
    for payload in _PAYLOADS:
        found = named_in(details.get(payload), model)
        if found:
            return found
    return ""


def named_in(data: object, model: str) -> str:
    """The id of the model's record that this data names; "" for none."""
    for name in (f"{model.replace('-', '_')}_id", CORRELATION):
        found = member(data, name)
        if isinstance(found, str) and found:
            return found
    return ""


def given_by(event: Event, model: str) -> Any:  # noqa: ANN401 - JSON
    """What a port that consumes the event is given: its data; None when that is the port's own record."""
    details = event.details()
    if "revision" in details:  # a record's event
        own = details.get("model") == model
        return None if own else {name: details.get(name) for name in ("model", "id", "data")}
    return next((details[name] for name in _PAYLOADS if name in details), _rest(details))


def _rest(details: Mapping[str, Any]) -> dict[str, Any]:
    return dict(details)
