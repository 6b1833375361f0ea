"""What an upstream system is shown of a host and of each device behind it: figures, versions, whether it is there."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.names import MEMBER

Value = bool | int | float | str | None

#: Figures of one node: each becomes an entity or a metric, for which somebody else's system keeps a history.
MOST_FIGURES: Final = 64
_MOST_DEPTH: Final = 4
#: Home Assistant refuses longer states.
_LONGEST_TEXT: Final = 255
_LONGEST_PATH: Final = 120
RESTART: Final = "restart"
ROLL_BACK: Final = "rollback"
#: The host among its nodes; a device's name is never empty.
HOST: Final = ""


@dataclass(frozen=True, slots=True)
class FigureKind:
    """What a figure is, in Home Assistant's words; empty: nothing is said about it."""

    name: str = ""
    unit: str = ""
    device_class: str = ""
    state_class: str = ""
    diagnostic: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A component: what runs, and what this host would take next."""

    installed: str
    latest: str


@dataclass(frozen=True, slots=True)
class UpstreamNode:
    """A host (its name is ``HOST``) or a device behind it, as it is now."""

    name: str
    title: str
    online: bool
    model: str = ""
    software: str = ""
    serial: str = ""
    told: bool = False  # the figures are all that it has; before, what upstream knows of is left alone
    figures: Mapping[str, Value] = field(default_factory=lambda: types.MappingProxyType({}))  # by path
    versions: Mapping[str, Version] = field(
        default_factory=lambda: types.MappingProxyType({})
    )  # by component


def _bytes(name: str, state_class: str = "measurement") -> FigureKind:
    return FigureKind(name, "B", "data_size", state_class, diagnostic=True)


def _count(name: str) -> FigureKind:
    return FigureKind(name, state_class="total_increasing", diagnostic=True)


#: The readings of a host (ports/readings) and what the device firmware tells of itself (its PROTOCOL.md).
KNOWN_FIGURES: Final[Mapping[str, FigureKind]] = types.MappingProxyType(
    {
        "load_1m": FigureKind("Load", state_class="measurement", diagnostic=True),
        "memory_used_bytes": _bytes("Memory used"),
        "memory_total_bytes": _bytes("Memory"),
        "disk_used_bytes": _bytes("Disk used"),
        "disk_total_bytes": _bytes("Disk"),
        "net_rx_bytes": _bytes("Received", "total_increasing"),
        "net_tx_bytes": _bytes("Sent", "total_increasing"),
        "temperature_c": FigureKind("Temperature", "°C", "temperature", "measurement", diagnostic=True),
        "uptime_s": FigureKind("Uptime", "s", "duration", "total_increasing", diagnostic=True),
        "up_ms": FigureKind("Uptime", "ms", "duration", "total_increasing", diagnostic=True),
        "heap": _bytes("Memory used"),
        "heap_most": _bytes("Memory used at most"),
        "calls": _count("Calls"),
        "faults": _count("Faults"),
        "steps": _count("Steps"),
        "bad_frames": _count("Damaged frames"),
        "lines": _count("Log lines"),
    }
)


def kind_of(path: str, configured: Mapping[str, FigureKind]) -> FigureKind:
    """What is known of a figure: the configuration's word, else the known one; a name in any case."""
    kind = configured.get(path, KNOWN_FIGURES.get(path, FigureKind()))
    return kind if kind.name else replace(kind, name=path.replace("_", " ").replace(".", " "))


def figures_of(document: Mapping[str, Any]) -> dict[str, Value]:
    """The scalar members by dotted path, in order; what is no proper name, too deep, too long or beyond the 64th is left out."""
    found: dict[str, Value] = {}
    for path, value in _scalars(document, "", 1):
        if len(found) >= MOST_FIGURES:
            break
        found[path] = value
    return found


def _scalars(document: Mapping[str, Any], above: str, depth: int) -> Iterator[tuple[str, Value]]:
    for name, value in document.items():
        # A device chooses the names: one that is none would end up in topics and templates of others.
        if not MEMBER.fullmatch(str(name)):
            continue
        path = f"{above}{name}"
        if len(path) > _LONGEST_PATH:
            continue
        if isinstance(value, Mapping):
            if depth < _MOST_DEPTH:
                yield from _scalars(value, f"{path}.", depth + 1)
        elif value is None or _is_value(value):
            yield path, value


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT and value.isprintable()
    if isinstance(value, bool):
        return True
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2.0**63
