"""A device: a microcontroller behind this host that runs the reference firmware; what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edgehost.domain.errors import RefusedError

_MOST_TEXT: Final = 128
_MOST_LIST: Final = 64


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """``/id``: who it is, and its budgets in bytes."""

    board: str
    core: str
    uid: str  # hexadecimal
    firmware: str
    engine: str
    has_float: bool
    slot_bytes: int  # the largest component file
    memory_bytes: int  # linear memory of a component
    body_bytes: int  # the largest body of a call
    block_bytes: int
    keys: tuple[str, ...] = ()  # of each key that it believes, the first 8 bytes of its sha256 in hexadecimal


@dataclass(frozen=True, slots=True)
class DeviceRelease:
    """A component on a device."""

    component: str
    version: str
    sequence: int
    size_bytes: int
    digest: str  # sha256, lower-case hex


@dataclass(frozen=True, slots=True)
class DeviceSlots:
    """``/slot``: the release that runs, whether there is one to go back to, and the transfer under way."""

    sequence: int = 0  # the highest that ever ran there; older firmware tells that of the active release
    can_roll_back: bool = False
    quarantined: tuple[str, ...] = ()  # the first 12 bytes of digests, in hexadecimal
    running: DeviceRelease | None = None
    have_bytes: int | None = None  # of the transfer under way; None: there is none
    size_bytes: int | None = None

    def has_quarantined(self, digest: str) -> bool:
        """Whether the device does not take this component any more."""
        return any(digest.startswith(each) for each in self.quarantined if each)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How a device is, as its bridge knows; ``since`` is unix seconds of the last change of ``online``."""

    name: str
    line: str
    online: bool = False
    since: float = 0.0
    reason: str = "not asked yet"  # why it is offline
    heard_at: float = 0.0  # unix seconds; 0: never
    paused: bool = False  # the line belongs to somebody else for a while
    baud: int = 0  # at which it was last spoken to; 0: not yet
    restarts: int = 0
    bad_frames: int = 0  # that this host dropped
    identity: DeviceIdentity | None = None
    slots: DeviceSlots | None = None
    telemetry: Mapping[str, Any] = field(default_factory=dict)  # the last that was told
    told_at: float = 0.0  # unix seconds of it

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def read_identity(document: object) -> DeviceIdentity:
    """What ``/id`` says.

    Raises:
        RefusedError: it is none.
    """
    members = _map(document)
    keys = members.get("keys", [])
    return DeviceIdentity(
        board=_text(members, "board"),
        core=_text(members, "core"),
        uid=_bytes(members, "uid").hex(),
        firmware=_text(members, "firmware"),
        engine=_text(members, "engine"),
        has_float=members.get("float") is True,
        slot_bytes=_count(members, "slot"),
        memory_bytes=_count(members, "memory"),
        body_bytes=_count(members, "body"),
        block_bytes=max(16, _count(members, "block")),
        keys=tuple(key.hex() for key in _list(keys) if isinstance(key, bytes)),
    )


def read_slots(document: object) -> DeviceSlots:
    """What ``/slot`` says.

    Raises:
        RefusedError: it is none.
    """
    members = _map(document)
    return DeviceSlots(
        sequence=_count(members, "sequence"),
        can_roll_back=members.get("rollback") is True,
        quarantined=tuple(
            each.hex() for each in _list(members.get("quarantined", [])) if isinstance(each, bytes)
        ),
        running=_release(members["running"]) if "running" in members else None,
        have_bytes=_count(members, "have") if "have" in members else None,
        size_bytes=_count(members, "size") if "size" in members else None,
    )


def _release(document: object) -> DeviceRelease:
    members = _map(document)
    return DeviceRelease(
        component=_text(members, "component"),
        version=_text(members, "version"),
        sequence=_count(members, "sequence"),
        size_bytes=_count(members, "size"),
        digest=_bytes(members, "sha256").hex(),
    )


def _map(document: object) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise RefusedError("The device answered with something that is no map.")
    return document


def _list(value: object) -> list[object]:
    return list(value)[:_MOST_LIST] if isinstance(value, list | tuple) else []


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
        raise RefusedError(f"The device says no proper '{name}' of itself.")
    return value


def _bytes(members: Mapping[str, Any], name: str) -> bytes:
    value = members.get(name)
    if not isinstance(value, bytes) or len(value) > _MOST_TEXT:
        raise RefusedError(f"The device says no proper '{name}' of itself.")
    return value


def _count(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 <= value < 2**64:
        raise RefusedError(f"The device says no proper '{name}' of itself.")
    return value
