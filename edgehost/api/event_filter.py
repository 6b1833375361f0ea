"""Which events a listener wants; the same for streams and for sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from edgehost.domain.events import Event, RecordEvent

#: Names in one filter; each is compared with every event.
MAX_NAMES: Final = 32


def event_filter(models: Iterable[str], types: Iterable[str]) -> Callable[[Event], bool]:
    """Records of these models only, and these types only; of none: all. ``edgehost.record.*`` takes a family."""
    wanted_models, wanted_types = frozenset(models), frozenset(types)
    families = tuple(kind[:-1] for kind in wanted_types if kind.endswith("*"))

    def wanted(event: Event) -> bool:
        if wanted_models and not (isinstance(event, RecordEvent) and event.model in wanted_models):
            return False
        return not wanted_types or event.type in wanted_types or event.type.startswith(families)

    return wanted


def cloud_event(event: Event, source: str) -> dict[str, Any]:
    """The event in the JSON format of CloudEvents 1.0."""
    identity = event.revision if isinstance(event, RecordEvent) else f"{event.at:.6f}"
    return {
        "specversion": "1.0",
        "id": f"{event.type.removeprefix('edgehost.')}-{identity}",
        "source": source,
        "type": event.type,
        "subject": event.subject,
        "time": datetime.fromtimestamp(event.at, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"at": event.at, **event.details()},
    }
