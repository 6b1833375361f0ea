"""What the routes need of the host."""

from __future__ import annotations

from dataclasses import dataclass

from edgehost.usecases.follow_relation import Relations
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import RecordKeeping


@dataclass(frozen=True, slots=True)
class ApiRooms:
    """The use cases' own needs, and where the routes begin."""

    keeping: RecordKeeping
    models: LiveModels
    root: str = "/api"
    body_bytes: int = 1024 * 1024
    ports: PortRooms | None = None
    relations: Relations | None = None
