"""[events]: how far events may lead to events, and how many are remembered and may wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgehost.config_settings import Whole


@dataclass(frozen=True, slots=True)
class EventSettings:
    """[events]: bounds of what happens because something happened."""

    depth: Annotated[
        int, Whole("events that lead to each other; then a circle is cut, and told", 1, 1000)
    ] = 32
    storm: Annotated[
        int, Whole("events that one event may lead to; then a storm is cut, and told", 1, 1_000_000)
    ] = 1000
    waiting: Annotated[
        int, Whole("events that wait for handlers, workflows or sinks; then writers wait", 1, 100_000)
    ] = 1024
    remembered: Annotated[
        int, Whole("last events for handlers and listeners that ask for a replay; 0: none", 0, 100_000)
    ] = 256
    remembered_kib: Annotated[int, Whole("of the remembered events together", 1, 1_048_576)] = 1024
    flows: Annotated[
        int, Whole("port histories that are kept; beyond, the oldest finished ones go", 10, 1_000_000)
    ] = 10_000
