"""The hosts of a fleet as an operator sees them, from what a broker retains; pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import CommandState, Operation
from edgehost.domain.fleet_topics import COMMAND_ID, FleetTopics
from edgehost.domain.json_text import read_json
from edgehost.domain.names import PUBLIC_KEY

#: More from one host is none of ours.
_MOST_BYTES: Final = 128 * 1024
#: A host that has not said for so many of its own turns that it is there is quiet.
_QUIET_TURNS: Final = 3.0
_MOST_FAILURES: Final = 32
#: Clocks that differ by more make an age meaningless.
_AHEAD_S: Final = 60.0


class Presence(enum.StrEnum):
    """Whether a host is there, as far as the broker can tell."""

    ONLINE = "online"
    QUIET = "quiet"  # online by its own word, which is older than it should be
    LOST = "lost"  # its connection broke
    STOPPED = "stopped"  # it said goodbye
    UNKNOWN = "unknown"  # it is registered and has never said


@dataclass(slots=True)
class Member:
    """One host."""

    name: str
    registration: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, Any] = field(default_factory=dict)
    clock_is_set: bool = True
    alarms: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    deployments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    commands: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)  # operation and id

    @property
    def device_class(self) -> str:
        """Its class, by its own word."""
        return str(self.registration.get("class", ""))

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels, by its own word."""
        labels = self.registration.get("labels")
        return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, Mapping) else {}

    @property
    def key(self) -> str:
        """The public key that it signs its reports with, by its own word; "" when it signs none."""
        key = self.registration.get("key")
        return key if isinstance(key, str) and PUBLIC_KEY.fullmatch(key) else ""

    @property
    def failures(self) -> tuple[str, ...]:
        """Deployments that failed on it, when rollouts have set it aside for that."""
        return failures_in(self.registration)

    @property
    def can(self) -> frozenset[str]:
        """What it can be told to do."""
        listed = self.registration.get("capabilities")
        return frozenset(str(each) for each in listed) if isinstance(listed, list) else frozenset()

    def age_s(self, now: float) -> float | None:
        """Since when it has not said anything; None when its clock and ours do not agree."""
        at = _number(self.status.get("at"))
        if at is None or not self.clock_is_set or at > now + _AHEAD_S:
            return None
        return max(now - at, 0.0)

    def presence(self, now: float) -> Presence:
        """Whether it is there; ``now`` by the operator's clock."""
        match self.status.get("status"):
            case "online":
                age, every = self.age_s(now), _number(self.status.get("every_s")) or 60.0
                return (
                    Presence.QUIET
                    if age is not None and age > _QUIET_TURNS * every + _AHEAD_S
                    else Presence.ONLINE
                )
            case "offline":
                return Presence.STOPPED if self.status.get("reason") == "stopped" else Presence.LOST
            case _:
                return Presence.UNKNOWN

    @property
    def is_asleep(self) -> bool:
        """Whether a command waits until it comes back."""
        return self.status.get("status") != "online"

    def version_of(self, component: str) -> str:
        """The version that is live there; "" when none is."""
        found = self.components.get(component)
        return str(found.get("version", "")) if isinstance(found, Mapping) else ""

    @property
    def open_commands(self) -> int:
        """Commands that have not ended."""
        ended = {CommandState.SUCCESSFUL, CommandState.FAILED}
        return sum(1 for state in self.commands.values() if state.get("status") not in ended)


def failures_in(registration: Mapping[str, Any]) -> tuple[str, ...]:
    """NAME SEQUENCE of the deployments that have set a host aside; none for others."""
    aside = registration.get("set_aside")
    listed = aside.get("failures") if isinstance(aside, Mapping) else None
    if not isinstance(listed, list):
        return ()
    rows = [each for each in listed[:_MOST_FAILURES] if isinstance(each, Mapping)]
    return tuple(f"{each.get('deployment')} {each.get('sequence')}"[:128] for each in rows)


def members_in(topics: FleetTopics, retained: Mapping[str, bytes]) -> dict[str, Member]:
    """The registered hosts by name; what cannot be read is passed over."""
    members: dict[str, Member] = {}
    for topic, payload in retained.items():
        place = topics.host_in(topic)
        document = _read(payload)
        if place is None or document is None:
            continue
        member = members.setdefault(place[0], Member(place[0]))
        _note(member, place[1].split("/") if place[1] else [], document)
    return {name: member for name, member in sorted(members.items()) if member.registration}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hosts a command is for: all that have one of the names, the class and every label, of what is said."""

    names: tuple[str, ...] = ()
    device_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.names or self.device_class or self.labels or self.everything)

    def of(self, members: Iterable[Member]) -> list[Member]:
        """Those that are meant."""
        return [member for member in members if self._takes(member)]

    def _takes(self, member: Member) -> bool:
        return (
            (not self.names or member.name in self.names)
            and (not self.device_class or member.device_class == self.device_class)
            and all(member.labels.get(key) == value for key, value in self.labels.items())
        )


def _note(member: Member, below: list[str], document: Mapping[str, Any]) -> None:
    match below:
        case []:
            member.registration = document
        case ["status"]:
            member.status = document
        case ["twin", "components"]:
            member.components = document
        case ["twin", "clock"]:
            member.clock_is_set = document.get("set") is not False
        case ["twin", "deployment", name] if _are(str, document, "state") and _are(int, document, "wave"):
            member.deployments[name] = document
        case ["a", name]:
            member.alarms[name] = document
        case ["cmd", operation, command_id] if (
            operation in set(Operation) and COMMAND_ID.fullmatch(command_id) and _are(str, document, "status")
        ):
            member.commands[operation, command_id] = document


def _read(payload: bytes) -> Mapping[str, Any] | None:
    if not 0 < len(payload) <= _MOST_BYTES:
        return None
    try:
        document = read_json(payload)
    except RefusedError:
        return None
    return document if isinstance(document, Mapping) else None


def _are(kind: type, document: Mapping[str, Any], name: str) -> bool:
    """Whether it is of the kind, if it is there: who compares or counts by it need not ask again."""
    return isinstance(document.get(name, kind()), kind)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
