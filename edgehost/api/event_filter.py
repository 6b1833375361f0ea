"""Which events a listener wants; the same for streams and for sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from edgehost.domain.cloud_event import cloud_event
from edgehost.domain.events import Event, RecordEvent

__all__ = ["MAX_NAMES", "cloud_event", "event_filter"]

#: Names in one filter; each is compared with every event.
MAX_NAMES: Final = 32


def event_filter(models: Iterable[str], types: Iterable[str]) -> Callable[[Event], bool]:
    """Records of these models only, and these types only; of none: all. ``edgehost.record.*`` takes a family.

    A type may be the name that a component gave its event.
    """
    wanted_models, wanted_types = frozenset(models), frozenset(types)
    families = tuple(kind[:-1] for kind in wanted_types if kind.endswith("*"))

    def wanted(event: Event) -> bool:
        if wanted_models and not (isinstance(event, RecordEvent) and event.model in wanted_models):
            return False
        return not wanted_types or any(
            name in wanted_types or name.startswith(families) for name in event.names
        )

    return wanted
