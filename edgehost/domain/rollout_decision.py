"""Whose turn it is in a rollout, decided by each host alone from what all hosts report.

Nobody leads: hosts see the same reports, put each other into the same waves by the same rule, and wait for the waves
before theirs. A coordinator that is away therefore stops nothing, and a laptop that is closed after publishing neither.
Hosts that are away are counted when they come back: what is left of their wave is behind them then.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from edgehost.domain.deployment import Deployment, Window
from edgehost.domain.rollout_report import RolloutCommand, RolloutOrder, RolloutReport, RolloutState

#: A host in these has all that it needs, and keeps its word.
_READY: Final = frozenset(
    {RolloutState.PREPARED, RolloutState.APPLYING, RolloutState.SOAKING, RolloutState.SUCCESSFUL}
)
#: Who is in these does not have it and will not, unless somebody says so.
_NEVER: Final = frozenset({RolloutState.FAILED, RolloutState.HALTED})
_STOPS: Final = frozenset({RolloutOrder.HALT, RolloutOrder.ABORT})
#: In the reason of a host that waits for an operator's word and for nothing else.
FOR_APPROVAL: Final = "waits for an approval"
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Names of hosts in a reason; the rest are counted.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class FleetSight:
    """What one host sees of its fleet."""

    host: str
    labels: Mapping[str, str]  # its own, with ``class``
    members: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    away: Collection[str] = frozenset()  # that say of themselves, or their broker, that they are offline
    reports: Sequence[RolloutReport] = ()
    command: RolloutCommand | None = None
    connected: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host stands in a rollout."""

    site: str
    wave: int
    before: tuple[str, ...]  # hosts of its site in earlier waves
    all_hosts: tuple[str, ...]  # of the deployment, on all sites, itself included


@dataclass(frozen=True, slots=True)
class Decision:
    """``go`` now, ``halt`` for good (until an operator resumes), or wait; the reason is for people."""

    go: bool = False
    halt: bool = False
    reason: str = ""


_GO: Final = Decision(go=True)


def place_of(deployment: Deployment, sight: FleetSight) -> Place:
    """The host's wave; hosts that are away and have not reported take no place."""
    members = {**sight.members, sight.host: sight.labels}
    meant = {
        host: labels
        for host, labels in members.items()
        if deployment.hosts.includes(host, labels.get("class", ""), labels)
    }
    reported = {report.host for report in _current(deployment, sight)}
    rollout = deployment.rollout
    site = sight.labels.get(rollout.within, "") if rollout.within else ""
    mine = [
        host
        for host, labels in meant.items()
        if (not rollout.within or labels.get(rollout.within, "") == site)
        and (host == sight.host or host not in sight.away or host in reported)
    ]
    ranked = sorted(mine, key=lambda host: _lot(deployment, host))
    ends = [max(number + 1, math.ceil(share * len(ranked))) for number, share in enumerate(rollout.waves)]
    ends[-1] = max(ends[-1], len(ranked))
    rank = ranked.index(sight.host)
    wave = next(number for number, end in enumerate(ends) if rank < end)
    return Place(site, wave, tuple(ranked[: ends[wave - 1]] if wave else ()), tuple(sorted(meant)))


def decide(deployment: Deployment, sight: FleetSight, *, local: datetime, waited_s: float) -> Decision:
    """Whether the host may begin; ``local`` is its local time, ``waited_s`` how long it has been asking."""
    if stopped := _stopped(deployment, sight):
        return Decision(halt=True, reason=stopped)
    rollout = deployment.rollout
    place = place_of(deployment, sight)
    if is_staged(deployment):
        if not sight.connected:  # nor would it know that it is of a late wave
            if rollout.all_hosts or not 0 < rollout.blind_after_s <= waited_s:
                return Decision(
                    reason="It does not see the other hosts: the link to the fleet is not there, or not for long enough."
                )
        elif waiting := _prepared(deployment, sight, place) or _earlier(deployment, sight, place):
            return Decision(reason=waiting)
    if place.wave in rollout.approve and not _approved(deployment, sight, place.wave):
        return Decision(
            reason=f"Wave {place.wave} {FOR_APPROVAL}: 'edgehost fleet approve {deployment.name}'."
        )
    if rollout.windows and not any(is_open(window, local) for window in rollout.windows):
        return Decision(reason=f"No maintenance window is open at {local:%a %H:%M}.")
    return _GO


def is_staged(deployment: Deployment) -> bool:
    """Whether hosts wait for each other or for an operator: then nobody begins who sees nothing of the fleet."""
    rollout = deployment.rollout
    return len(rollout.waves) > 1 or rollout.all_hosts or bool(rollout.approve)


def must_go_back(deployment: Deployment, sight: FleetSight) -> str:
    """Why a host that has it, or is at it, must give it back; "" when it need not."""
    command = _command(deployment, sight)
    if command is not None and command.order is RolloutOrder.ABORT:
        return f"Operator {command.by or 'unknown'} aborted the rollout."
    if deployment.rollout.all_hosts:
        for report in _current(deployment, sight):
            if report.state in _NEVER and report.host != sight.host:
                return f"It is for all hosts or none, and {report.host} {report.state}: {report.reason}"
    return ""


def is_resumed(deployment: Deployment, sight: FleetSight) -> bool:
    """Whether an operator lets go on what was halted; nothing else does, since an order may be lost with its broker."""
    command = _command(deployment, sight)
    return (
        command is not None
        and command.order is RolloutOrder.RESUME
        and not _stopped(deployment, sight)
        and not must_go_back(deployment, sight)
    )


def is_open(window: Window, local: datetime) -> bool:
    """Whether the window is open; one that ends before it begins goes on after midnight."""
    begin, end = window.begin or "00:00", window.end or "24:00"
    at = f"{local:%H:%M}"
    if begin < end:
        return begin <= at < end and _is_day(window, local)
    return (at >= begin and _is_day(window, local)) or (
        at < end and _is_day(window, local - timedelta(days=1))
    )


def _is_day(window: Window, local: datetime) -> bool:
    return not window.days or _WEEK[local.weekday()] in window.days


def _stopped(deployment: Deployment, sight: FleetSight) -> str:
    command = _command(deployment, sight)
    if command is not None and command.order in _STOPS:
        return f"Operator {command.by or 'unknown'} said {command.order}."
    forgiven = _forgiven(deployment, sight)
    failed = [report for report in _current(deployment, sight) if report.state is RolloutState.FAILED]
    others = [report for report in failed if report.host != sight.host and report.host not in forgiven]
    if not others:
        return ""
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return f"It failed on {others[0].host}{more}: {others[0].reason}"


def _prepared(deployment: Deployment, sight: FleetSight, place: Place) -> str:
    if not deployment.rollout.all_hosts:
        return ""
    ready = {report.host for report in _current(deployment, sight) if report.state in _READY}
    missing = [host for host in place.all_hosts if host not in ready and host != sight.host]
    return f"It is for all hosts or none, and {_names(missing)} not prepared." if missing else ""


def _earlier(deployment: Deployment, sight: FleetSight, place: Place) -> str:
    done = {report.host for report in _current(deployment, sight) if report.state is RolloutState.SUCCESSFUL}
    forgiven = _forgiven(deployment, sight)
    missing = [host for host in place.before if host not in done and host not in forgiven]
    return f"Wave {place.wave} waits for the one before: {_names(missing)} not done." if missing else ""


def _forgiven(deployment: Deployment, sight: FleetSight) -> frozenset[str]:
    """Hosts of the waves that an operator resumed from, which failed or are away: nobody waits for them any more."""
    command = _command(deployment, sight)
    if command is None or command.order is not RolloutOrder.RESUME:
        return frozenset()
    return frozenset(
        report.host
        for report in _current(deployment, sight)
        if report.wave <= command.wave and (report.state is RolloutState.FAILED or report.host in sight.away)
    )


def _approved(deployment: Deployment, sight: FleetSight, wave: int) -> bool:
    command = _command(deployment, sight)
    return (
        command is not None
        and command.order in {RolloutOrder.APPROVE, RolloutOrder.RESUME}
        and command.wave >= wave
    )


def _command(deployment: Deployment, sight: FleetSight) -> RolloutCommand | None:
    command = sight.command
    return command if command is not None and command.sequence == deployment.sequence else None


def _current(deployment: Deployment, sight: FleetSight) -> list[RolloutReport]:
    """Reports of the very same document; others speak of an earlier or a later one."""
    return [report for report in sight.reports if report.digest == deployment.digest]


def _lot(deployment: Deployment, host: str) -> str:
    """Another order for each deployment: not always the same host goes first."""
    return hashlib.sha256(f"{deployment.digest}/{host}".encode()).hexdigest()


def _names(hosts: Sequence[str]) -> str:
    more = (
        f" and {len(hosts) - _NAMED} more are" if len(hosts) > _NAMED else " are" if len(hosts) > 1 else " is"
    )
    return f"{', '.join(hosts[:_NAMED])}{more}"
