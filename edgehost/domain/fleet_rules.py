"""Whether a genuine command is for this host, in time, allowed, and new; pure, so that every case can be tried.

Time: a command is judged by the host's clock, which never runs below a floor. Where the machine does not know the
time (a board without a battery), the floor is the newest moment that is known to be past, so that a command which
has long expired may look fresh. There a command must also be no older than the newest one that was taken, less an
hour for those that were under way together; and every one that is taken raises that mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from edgehost.domain.errors import NotGrantedError, RefusedError
from edgehost.domain.fleet_command import FleetCommand
from edgehost.domain.fleet_messages import EVERY_HOST

ANY: Final = "*"
#: Clocks of operators and hosts that are set by NTP agree to well within this.
AHEAD_MOST_S: Final = 300.0
#: Commands that were given while a host slept come in any order.
TOGETHER_S: Final = 3600.0
#: Seen nonces; beyond, the ones that expire first go, and what their key issued until then is refused.
MOST_NONCES: Final = 512


@dataclass(frozen=True, slots=True)
class Operator:
    """A key that may command, and what."""

    key_id: str  # hex
    name: str = ""
    may: tuple[str, ...] = (ANY,)
    components: tuple[str, ...] = (ANY,)

    @property
    def shown(self) -> str:
        """For messages to people."""
        return f"{self.name} ({self.key_id[:8]})" if self.name else self.key_id[:16]

    def require(self, what: str, component: str = "") -> None:
        """Check that it may do this; ``component`` is empty for what concerns the whole host.

        Raises:
            NotGrantedError: it may not.
        """
        if not {ANY, what} & set(self.may):
            raise NotGrantedError(
                f"{self.shown} may not {what} on this host.", hint="See 'may' of [[fleet.operators]]."
            )
        if not {ANY, component} & set(self.components):
            about = f"'{component}'" if component else "the whole host"
            raise NotGrantedError(
                f"{self.shown} may not command {about}.", hint="See 'components' of [[fleet.operators]]."
            )


#: Whoever a trusted broker lets in.
ANYBODY: Final = Operator("", name="the broker")


def require_for(command: FleetCommand, *, host: str, fleet: str) -> None:
    """Check that it is meant for this host.

    Raises:
        RefusedError: it is for another fleet or host.
    """
    if command.fleet != fleet:
        raise RefusedError(f"It is for the fleet '{command.fleet}'; this is '{fleet}'.")
    if EVERY_HOST not in command.audience and host not in command.audience:
        raise RefusedError(f"It is for {', '.join(command.audience[:3])}; this is '{host}'.")


@dataclass(frozen=True, slots=True)
class HostTime:
    """What a host knows of the time: ``now`` is never below its floor; ``is_set`` whether its clock can be right."""

    now: float
    is_set: bool = True


def require_in_time(command: FleetCommand, time: HostTime, newest_taken: float) -> None:
    """Check that it holds now.

    Raises:
        RefusedError: it has expired, or is from the future, or too old to be told from one that has expired.
    """
    if command.expires_at <= time.now:
        raise RefusedError(f"It expired at {_shown(command.expires_at)}; here it is {_shown(time.now)}.")
    if time.is_set:
        if command.issued_at > time.now + AHEAD_MOST_S:
            raise RefusedError(
                f"It was issued at {_shown(command.issued_at)}; here it is {_shown(time.now)}.",
                hint="One of the two clocks is wrong.",
            )
    elif command.issued_at < newest_taken - TOGETHER_S:
        raise RefusedError(
            f"This host's clock is not set, and a command of {_shown(newest_taken)} was taken already: "
            f"one of {_shown(command.issued_at)} may have expired.",
            hint="Sign it anew.",
        )


@dataclass(frozen=True, slots=True)
class Replays:
    """Which commands were taken: nonces until they expire, and a floor for each key in place of those that had to go."""

    #: In hex: key, issued, expires.
    nonces: Mapping[str, tuple[str, float, float]] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)  # key: what it issued up to then is refused
    newest: float = 0.0  # issue of the newest command that was taken
    lost_at: float = 0.0  # the memory was lost then; what any key issued until then is refused

    def require_new(self, command: FleetCommand) -> None:
        """Check that it was not taken before.

        Raises:
            RefusedError: it was, or nobody can say.
        """
        if command.nonce.hex() in self.nonces:
            raise RefusedError("It was taken before; a command is done once.", hint="Sign a new one.")
        if command.issued_at <= max(self.floors.get(command.by, 0.0), self.lost_at):
            raise RefusedError(
                "So many commands were taken since that nobody can say whether this one was among them.",
                hint="Sign it anew.",
            )

    def with_taken(self, command: FleetCommand, now: float, *, most: int = MOST_NONCES) -> Replays:
        """After it was taken; what has expired is forgotten, since its expiry is refused by itself."""
        nonces = {nonce: each for nonce, each in self.nonces.items() if each[2] > now}
        nonces[command.nonce.hex()] = (command.by, command.issued_at, command.expires_at)
        floors = dict(self.floors)
        while len(nonces) > most:
            nonce = min(nonces, key=lambda each: nonces[each][2])
            key, issued, _ = nonces.pop(nonce)
            floors[key] = max(floors.get(key, 0.0), issued)
        return replace(self, nonces=nonces, floors=floors, newest=max(self.newest, command.issued_at))


def _shown(moment: float) -> str:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        return f"{moment:.0f}"
