"""Follows a deployment over the hosts of a fleet, or all that changes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgehost.cli.command_table import FAILED, OK, TIMED_OUT
from edgehost.cli.output import one_line
from edgehost.domain.fleet_members import Member
from edgehost.domain.rollout_messages import MOST_SEQUENCE
from edgehost.domain.rollout_report import FINAL_STATES, RolloutState
from edgehost.domain.suggestion import did_you_mean

if TYPE_CHECKING:
    from edgehost.cli.fleet_work import Work

_FINAL: Final = frozenset(str(state) for state in FINAL_STATES)
_LONG_S: Final = 365 * 86_400.0


async def watch(work: Work) -> int:
    """A deployment until every host that reports on it is done; without one, changes until Ctrl-C."""
    if work.args.deployment is None:
        return await _watch_all(work)
    name = work.args.deployment
    chosen = {member.name for member in work.chosen(must=False)}
    shown: dict[str, tuple[Any, ...]] = {}
    until = time.monotonic() + work.args.timeout
    if not reports_on(work, name, chosen):
        others = {each for member in work.chosen(must=False) for each in member.deployments}
        known = did_you_mean(name, others)
        work.out.note(one_line(f"No host reports on a deployment '{name}' yet. {known}".rstrip()))
    while True:
        reports = reports_on(work, name, chosen)
        for host, report in reports.items():
            line = (report.get("sequence"), report.get("state"), report.get("reason"))
            if shown.get(host) != line:
                shown[host] = line
                reason = f". {report['reason']}" if report.get("reason") else ""
                text = f"{host}: sequence {line[0]}, wave {report.get('wave')}: {line[1]}{reason}"
                work.out.item({"host": host, **report}, one_line(text))
        newest = max((sequence_of(report) for report in reports.values()), default=0)
        current = [report for report in reports.values() if sequence_of(report) == newest]
        if current and all(report.get("state") in _FINAL for report in reports.values()):
            counts = Counter(str(report.get("state")) for report in current)
            work.out.note(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
            return OK if set(counts) == {str(RolloutState.SUCCESSFUL)} else FAILED
        differs = partial(_differs, partial(reports_on, work, name, chosen), reports)
        if not await work.link.until(differs, until - time.monotonic()):
            in_time = "Not every host was done in time; they go on by themselves."
            work.out.note(in_time if reports else f"No host reported on '{name}' in time.")
            return TIMED_OUT


async def _watch_all(work: Work) -> int:
    before = _facts(work)
    while True:
        await work.link.until(partial(_differs, partial(_facts, work), before), _LONG_S)
        now = _facts(work)
        for (host, what), fact in now.items():
            if before.get((host, what)) != fact:
                work.out.item({"host": host, "what": what, "now": fact}, one_line(f"{host}  {what}: {fact}"))
        for host, what in before.keys() - now.keys():
            work.out.item({"host": host, "what": what, "now": None}, one_line(f"{host}  {what}: gone"))
        before = now


def _differs(look: Callable[[], object], before: object) -> bool:
    return look() != before


def _facts(work: Work) -> dict[tuple[str, str], str]:
    facts: dict[tuple[str, str], str] = {}
    chosen = {member.name for member in work.chosen(must=False)}
    for member in work.members().values():
        if member.name in chosen:
            facts.update({(member.name, what): fact for what, fact in _facts_of(member).items()})
    return facts


def _facts_of(member: Member) -> dict[str, str]:
    facts = {"presence": str(member.status.get("status", "unknown"))}
    facts |= {f"component {name}": member.version_of(name) for name in member.components}
    facts |= {f"alarm {name}": str(alarm.get("text", "")) for name, alarm in member.alarms.items()}
    for name, report in member.deployments.items():
        facts[f"deployment {name}"] = f"{report.get('state')} {report.get('reason', '')}".strip()
    for (operation, command_id), state in member.commands.items():
        facts[f"{operation} {command_id}"] = f"{state.get('status')} {state.get('reason', '')}".strip()
    return facts


def reports_on(work: Work, deployment: str, chosen: set[str] | None) -> dict[str, Mapping[str, Any]]:
    """What each host says of a deployment; of those that are chosen."""
    return {
        member.name: member.deployments[deployment]
        for member in work.members().values()
        if deployment in member.deployments and (chosen is None or member.name in chosen)
    }


def sequence_of(report: Mapping[str, Any]) -> int:
    """The sequence that a report is about."""
    return whole_in(report, "sequence")


def whole_in(report: Mapping[str, Any], name: str) -> int:
    """A number that a report has; 0 where it has none, or one that no order could name."""
    value = report.get(name, 0)
    return value if isinstance(value, int) and 0 <= value <= MOST_SEQUENCE else 0
