"""The topics of a fleet: ``edgehost/<fleet>/<host>/...``, in the grammar of thin-edge.io; build and parse, nothing else.

Every step is a name or an id of bounded length, so that a topic from outside can neither grow nor hold a wildcard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import Operation
from edgehost.domain.names import NAME, worded

ROOT: Final = "edgehost"
#: Other things below the root: the repositories of releases.
RESERVED_FLEETS: Final = frozenset({"remote"})
#: No host can have this name: a name begins with a letter.
ROLLOUT: Final = "_rollout"
#: Longer topics are none of ours.
LONGEST_TOPIC: Final = 512
COMMAND_ID: Final = worded(
    r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}",
    "a command's id: up to 64 letters, digits, '.', '_', ':' and '-', a letter or digit first",
)
#: The last step of a property, a measurement, an event or an alarm; properties of deployments have two.
_PART: Final = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class CommandTopic:
    """``cmd/<operation>/<id>`` of a host."""

    operation: Operation
    id: str


@dataclass(frozen=True, slots=True)
class HostTopics:
    """The topics of one host."""

    fleet: str
    host: str

    @property
    def registration(self) -> str:
        """Retained: who it is."""
        return f"{ROOT}/{self.fleet}/{self.host}"

    @property
    def status(self) -> str:
        """Retained, with the will: whether it is there."""
        return f"{self.registration}/status"

    @property
    def claim(self) -> str:
        """By which two hosts of one name notice each other."""
        return f"{self.registration}/claim"

    @property
    def commands(self) -> str:
        """Every command's state, as a filter."""
        return f"{self.registration}/cmd/+/+"

    @property
    def bundles(self) -> str:
        """Signed bundles, as a filter."""
        return f"{self.registration}/bundle/+"

    @property
    def own(self) -> tuple[str, ...]:
        """What the host keeps on the broker besides commands, as filters."""
        below = ("", "/status", "/twin/+", "/twin/deployment/+", "/a/+", "/cmd/+")
        return tuple(self.registration + each for each in below)

    def twin(self, name: str) -> str:
        """Retained: a property."""
        return f"{self.registration}/twin/{name}"

    def report(self, deployment: str) -> str:
        """Retained: where the host is with a deployment."""
        return self.twin(f"deployment/{deployment}")

    def measurement(self, name: str) -> str:
        """Figures, now and then."""
        return f"{self.registration}/m/{name}"

    def event(self, name: str) -> str:
        """A fact that was just published."""
        return f"{self.registration}/e/{name}"

    def alarm(self, name: str) -> str:
        """Retained while it is raised."""
        return f"{self.registration}/a/{name}"

    def capability(self, operation: Operation) -> str:
        """Retained while the host can do it."""
        return f"{self.registration}/cmd/{operation}"

    def command(self, operation: Operation, command_id: str) -> str:
        """Retained: the state of one command."""
        return f"{self.capability(operation)}/{command_id}"

    def result_part(self, operation: Operation, command_id: str, number: int) -> str:
        """A part of a result that is too long for the state."""
        return f"{self.command(operation, command_id)}/result/{number}"

    def bundle(self, command_id: str) -> str:
        """Where the bytes of a signed bundle go."""
        return f"{self.registration}/bundle/{command_id}"

    def order_answer(self, deployment: str) -> str:
        """What the host says to an order to a rollout, to those who listen."""
        return f"{self.registration}/order/{deployment}"

    def command_in(self, topic: str) -> CommandTopic | None:
        """The command that a topic is about; None for every other topic, and for operations nobody knows."""
        steps = self._below(topic, "cmd", 2)
        if steps is None or not COMMAND_ID.fullmatch(steps[1]):
            return None
        try:
            return CommandTopic(Operation(steps[0]), steps[1])
        except ValueError:
            return None

    def bundle_in(self, topic: str) -> str | None:
        """The id of a bundle; None for every other topic."""
        steps = self._below(topic, "bundle", 1)
        return steps[0] if steps is not None and COMMAND_ID.fullmatch(steps[0]) else None

    def is_own(self, topic: str) -> bool:
        """Whether the host keeps this topic by itself: its registration, status, properties, alarms, capabilities."""
        if len(topic) > LONGEST_TOPIC:
            return False
        if topic in {self.registration, self.status}:
            return True
        twin, alarm = self._below(topic, "twin", 1), self._below(topic, "a", 1)
        capability = self._below(topic, "cmd", 1)
        return (
            (twin is not None and bool(_PART.fullmatch(twin[0])))
            or (alarm is not None and bool(_PART.fullmatch(alarm[0])))
            or (capability is not None and bool(_PART.fullmatch(capability[0])))
        )

    def _below(self, topic: str, kind: str, count: int) -> list[str] | None:
        start = f"{self.registration}/{kind}/"
        if len(topic) > LONGEST_TOPIC or not topic.startswith(start):
            return None
        steps = topic[len(start) :].split("/")
        return steps if len(steps) == count else None


@dataclass(frozen=True, slots=True)
class FleetTopics:
    """The topics of all hosts of a fleet, and what is said to all of them."""

    fleet: str

    def host(self, name: str) -> HostTopics:
        """The topics of one host."""
        return HostTopics(self.fleet, name)

    @property
    def registrations(self) -> str:
        """Who belongs to it, as a filter."""
        return f"{ROOT}/{self.fleet}/+"

    @property
    def statuses(self) -> str:
        """Who is there, as a filter."""
        return f"{self.registrations}/status"

    @property
    def reports(self) -> str:
        """Where they are with deployments, as a filter."""
        return f"{self.registrations}/twin/deployment/+"

    @property
    def orders(self) -> str:
        """What operators say to rollouts, as a filter."""
        return f"{ROOT}/{self.fleet}/{ROLLOUT}/+"

    def order(self, deployment: str) -> str:
        """Retained: the newest order to a rollout."""
        return f"{ROOT}/{self.fleet}/{ROLLOUT}/{deployment}"

    def order_answers(self, deployment: str) -> str:
        """What hosts say to orders to a rollout, as a filter."""
        return f"{self.registrations}/order/{deployment}"

    def host_in(self, topic: str) -> tuple[str, str] | None:
        """The host that a topic belongs to, and what stands below its name; None when it is of no host."""
        start = f"{ROOT}/{self.fleet}/"
        if len(topic) > LONGEST_TOPIC or not topic.startswith(start):
            return None
        host, _, below = topic[len(start) :].partition("/")
        return (host, below) if NAME.fullmatch(host) else None

    def order_in(self, topic: str) -> str | None:
        """The deployment that an order's topic is about; None for every other topic."""
        start = self.order("")
        name = topic[len(start) :] if topic.startswith(start) else ""
        return name if NAME.fullmatch(name) else None


def require_fleet(name: str) -> None:
    """Check that a fleet may be called so.

    Raises:
        RefusedError: it may not.
    """
    if name in RESERVED_FLEETS or not NAME.fullmatch(name):
        raise RefusedError(f"A fleet cannot be called {name[:80]!r}.", hint="Choose another name.")


def part_of(name: str) -> str:
    """The name as a step of a topic: what topics cannot hold becomes '-'."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:128] or "-"
