"""Results of commands: short ones stand in the state, longer ones in parts beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.fleet_command import CommandRecord
from edgehost.domain.fleet_topics import HostTopics
from edgehost.domain.json_text import tell_json
from edgehost.ports.fleet_link import FleetLink

_INLINE_BYTES: Final = 16 * 1024
PART_BYTES: Final = 32 * 1024
#: Together 2 MiB.
MOST_PARTS: Final = 64
_EXPIRES_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Results:
    """Where they are shown."""

    topics: HostTopics
    link: FleetLink

    def shown(self, record: CommandRecord, result: Mapping[str, Any]) -> dict[str, Any]:
        """The result, or where its parts are when it is long: their JSON text, one after another."""
        content = tell_json(dict(result))
        if len(content) <= _INLINE_BYTES:
            return dict(result)
        parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
        if len(parts) > MOST_PARTS:
            most = MOST_PARTS * PART_BYTES
            return {"cut": f"The result has {len(content)} bytes; {most} are the most that is sent."}
        for number, part in enumerate(parts):
            topic = self.topics.result_part(record.operation, record.id, number)
            self.link.put(topic, part, expires_s=_EXPIRES_S)
        return {
            "parts": len(parts),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def withdraw(self, record: CommandRecord) -> None:
        """Take the parts away."""
        parts = record.result.get("parts", 0)
        for number in range(min(parts, MOST_PARTS) if isinstance(parts, int) else 0):
            topic = self.topics.result_part(record.operation, record.id, number)
            self.link.put(topic, b"", expires_s=0)
