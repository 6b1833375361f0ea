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
from datetime import datetime
from typing import Final

from edgehost.domain.deployment import Deployment
from edgehost.domain.maintenance_window import is_open
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
_NO_FLEET: Final = "this host has no [fleet]"
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
    key: str = ""  # the host's own public key in hex; "": it signs no reports
    set_aside: Mapping[str, Collection[str]] = field(
        default_factory=dict
    )  # on which too much has failed to say anything of a deployment but of these: NAME SEQUENCE
    alone: bool = False  # it belongs to no fleet, so it will never see anybody


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
    """The host's wave; hosts that are away and have not reported take no place, those that are set aside the last."""
    members = {**sight.members, sight.host: sight.labels}
    meant = {
        host: labels
        for host, labels in members.items()
        if deployment.hosts.includes(host, labels.get("class", ""), labels)
        and (not deployment.rollout.keys or host in deployment.rollout.keys or host == sight.host)
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
    aside = _aside(deployment, sight, meant)
    ranked = sorted(mine, key=lambda host: (host in aside, _lot(deployment, host)))
    ends = [max(number + 1, math.ceil(share * len(ranked))) for number, share in enumerate(rollout.waves)]
    ends[-1] = max(ends[-1], len(ranked))
    rank = ranked.index(sight.host)
    wave = next(number for number, end in enumerate(ends) if rank < end)
    return Place(site, wave, tuple(ranked[: ends[wave - 1]] if wave else ()), tuple(sorted(meant)))


def decide(deployment: Deployment, sight: FleetSight, *, local: datetime, waited_s: float) -> Decision:
    """Whether the host may begin; ``local`` is its local time, ``waited_s`` how long it asks without seeing the others."""
    if stopped := _stopped(deployment, sight):
        return Decision(halt=True, reason=stopped)
    rollout = deployment.rollout
    place = place_of(deployment, sight)
    if waiting := _not_listed(deployment, sight) or _in_step(deployment, sight, place, waited_s):
        return Decision(reason=waiting)
    if place.wave in rollout.approve and not _approved(deployment, sight, place.wave):
        how = (
            f"'edgehost fleet approve {deployment.name}'" if not sight.alone else f"{_NO_FLEET} to be told by"
        )
        return Decision(reason=f"Wave {place.wave} {FOR_APPROVAL}: {how}.")
    if rollout.windows and not any(is_open(window, local) for window in rollout.windows):
        return Decision(reason=f"No maintenance window is open at {local:%a %H:%M}.")
    return _GO


def _in_step(deployment: Deployment, sight: FleetSight, place: Place, waited_s: float) -> str:
    """For which other hosts it waits, or that it does not see them; "" when it need not."""
    if not is_staged(deployment):
        return ""
    if not sight.connected:  # nor would it know that it is of a late wave
        return _blind(deployment, sight, waited_s)
    return _prepared(deployment, sight, place) or _earlier(deployment, sight, place)


def is_staged(deployment: Deployment) -> bool:
    """Whether hosts wait for each other or for an operator: then nobody begins who sees nothing of the fleet."""
    rollout = deployment.rollout
    return len(rollout.waves) > 1 or rollout.all_hosts or bool(rollout.approve)


def advice_alone(deployment: Deployment) -> str:
    """What an operator can do for a host of no fleet that such a deployment lets wait; "" when it need not wait."""
    if not is_staged(deployment):
        return ""
    rollout = deployment.rollout
    out = ["all_hosts"] if rollout.all_hosts else []
    out += (
        ["an approval of wave 0"] if 0 in rollout.approve else []
    )  # a host that sees nobody is of the first
    ways = [f"without {' and '.join(out)}"] if out else []
    if not rollout.blind_after_s:
        ways.append("with rollout.blind_after_s, after which it begins by itself")
    other = f"publish for it {', and '.join(ways)}" if ways else "wait: it begins by itself"
    return f"Give the host a [fleet] table, so that it sees the others; or {other}."


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


def _stopped(deployment: Deployment, sight: FleetSight) -> str:
    command = _command(deployment, sight)
    if command is not None and command.order in _STOPS:
        return f"Operator {command.by or 'unknown'} said {command.order}."
    forgiven = _forgiven(deployment, sight) | _worn(deployment, sight)
    failed = [report for report in _current(deployment, sight) if report.state is RolloutState.FAILED]
    others = [report for report in failed if report.host != sight.host and report.host not in forgiven]
    if not others:
        return ""
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return f"It failed on {others[0].host}{more}: {others[0].reason}"


def _not_listed(deployment: Deployment, sight: FleetSight) -> str:
    """Why nobody would count on this host's reports."""
    keys = deployment.rollout.keys
    if not keys or keys.get(sight.host, "") == sight.key != "":
        return ""
    how = "'edgehost fleet keys' lists what a deployment must say"
    if not sight.key:
        return "It counts signed reports alone, and this host signs none: set fleet.sign_reports."
    if sight.host not in keys:
        return f"It counts signed reports alone, and this host is not in its [rollout.keys]; {how}."
    return f"Its [rollout.keys] has another key for this host than the one that it signs with; {how}."


def _blind(deployment: Deployment, sight: FleetSight, waited_s: float) -> str:
    """Why a host that sees nobody waits; "" when it need not any more."""
    rollout = deployment.rollout
    if sight.alone:
        why = f"It is rolled out in step with other hosts, and {_NO_FLEET} to see them by"
    else:
        why = "It does not see the other hosts: the link to the fleet is not there, or not for long enough"
    if rollout.all_hosts or not rollout.blind_after_s:
        return f"{why}. It does not begin without them."
    left_s = rollout.blind_after_s - waited_s
    return f"{why}. It begins by itself in {_span(left_s)}." if left_s > 0 else ""


def _span(seconds: float) -> str:
    """In steps, so that what is shown does not change at every look."""
    for unit_s, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds > 2 * unit_s:
            return f"about {math.ceil(seconds / unit_s)} {name}"
    return "less than two minutes"


def _prepared(deployment: Deployment, sight: FleetSight, place: Place) -> str:
    if not deployment.rollout.all_hosts:
        return ""
    ready = {report.host for report in _current(deployment, sight) if report.state in _READY}
    missing = [host for host in place.all_hosts if host not in ready and host != sight.host]
    return f"It is for all hosts or none, and {_names(missing)} not prepared." if missing else ""


def _earlier(deployment: Deployment, sight: FleetSight, place: Place) -> str:
    done = {report.host for report in _current(deployment, sight) if report.state is RolloutState.SUCCESSFUL}
    forgiven = _forgiven(deployment, sight) | _worn(deployment, sight)
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


def _worn(deployment: Deployment, sight: FleetSight) -> frozenset[str]:
    """Hosts that are set aside and failed again: that says more of them than of the deployment."""
    if not sight.set_aside:
        return frozenset()
    aside = _aside(deployment, sight, place_of(deployment, sight).all_hosts)
    return frozenset(
        report.host
        for report in _current(deployment, sight)
        if report.host in aside and report.state in _NEVER
    )


def _aside(deployment: Deployment, sight: FleetSight, meant: Collection[str]) -> frozenset[str]:
    """Those that say nothing of this deployment. One that was set aside for it does; and when most hosts are, all do."""
    this = f"{deployment.name} {deployment.sequence}"
    aside = frozenset(host for host in meant if this not in sight.set_aside.get(host, (this,)))
    return aside if 2 * len(aside) <= len(meant) else frozenset()


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
    """Reports of the very same document, signed where it names keys; others speak of an earlier or a later one."""
    keys = deployment.rollout.keys
    return [
        report
        for report in sight.reports
        if report.digest == deployment.digest and (not keys or report.key == keys.get(report.host))
    ]


def _lot(deployment: Deployment, host: str) -> str:
    """Another order for each deployment: not always the same host goes first."""
    return hashlib.sha256(f"{deployment.digest}/{host}".encode()).hexdigest()


def _names(hosts: Sequence[str]) -> str:
    more = (
        f" and {len(hosts) - _NAMED} more are" if len(hosts) > _NAMED else " are" if len(hosts) > 1 else " is"
    )
    return f"{', '.join(hosts[:_NAMED])}{more}"
