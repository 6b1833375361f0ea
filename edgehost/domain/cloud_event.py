"""A fact as a CloudEvents document: the form in which events leave the host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edgehost.domain.events import Event, RecordEvent


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
