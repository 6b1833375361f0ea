"""Follows a deployment over the hosts of a fleet, or all that changes; gives orders to rollouts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgehost.cli.command_table import FAILED, OK, TIMED_OUT
from edgehost.cli.output import one_line
from edgehost.domain.errors import NotFoundError
from edgehost.domain.fleet_members import Member
from edgehost.domain.fleet_messages import SignedOrder, order_document
from edgehost.domain.json_text import write_json
from edgehost.domain.rollout_decision import FOR_APPROVAL
from edgehost.domain.rollout_report import FINAL_STATES, RolloutOrder, RolloutState
from edgehost.domain.suggestion import did_you_mean

if TYPE_CHECKING:
    from edgehost.cli.fleet_verbs import Work

_FINAL: Final = frozenset(str(state) for state in FINAL_STATES)
#: Hosts that are named in a message.
_SHOWN: Final = 3
_LONG_S: Final = 365 * 86_400.0
#: What has not begun.
_WAITS: Final = frozenset({RolloutState.WAITING, RolloutState.PREPARED})


async def watch(work: Work) -> int:
    """A deployment until every host that reports on it is done; without one, changes until Ctrl-C."""
    if work.args.deployment is None:
        return await _watch_all(work)
    name = work.args.deployment
    chosen = {member.name for member in work.chosen(must=False)}
    shown: dict[str, tuple[Any, ...]] = {}
    until = time.monotonic() + work.args.timeout
    while True:
        reports = _reports(work, name, chosen)
        for host, report in reports.items():
            line = (report.get("sequence"), report.get("state"), report.get("reason"))
            if shown.get(host) != line:
                shown[host] = line
                reason = f". {report['reason']}" if report.get("reason") else ""
                text = f"{host}: sequence {line[0]}, wave {report.get('wave')}: {line[1]}{reason}"
                work.out.item({"host": host, **report}, one_line(text))
        newest = max((_sequence(report) for report in reports.values()), default=0)
        current = [report for report in reports.values() if _sequence(report) == newest]
        if current and all(report.get("state") in _FINAL for report in reports.values()):
            counts = Counter(str(report.get("state")) for report in current)
            work.out.note(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
            return OK if set(counts) == {str(RolloutState.SUCCESSFUL)} else FAILED
        differs = partial(_differs, partial(_reports, work, name, chosen), reports)
        if not await work.link.until(differs, until - time.monotonic()):
            work.out.note("Not every host was done in time; they go on by themselves.")
            return TIMED_OUT


async def give_order(work: Work) -> int:
    """Approve, halt, resume or abort a rollout."""
    args, fleet = work.args, work.access.topics.fleet
    reports = _reports(work, args.deployment, None)
    if not reports and args.sequence is None:
        known = {name for member in work.members().values() for name in member.deployments}
        raise NotFoundError(
            f"No host reports on a deployment '{args.deployment}'.",
            hint=did_you_mean(args.deployment, known) or "Give --sequence if you know it.",
        )
    sequence = args.sequence or max(_sequence(report) for report in reports.values())
    wave = getattr(args, "wave", None)
    if args.verb == "approve" and wave is None:
        wave = wave_to_approve(args.deployment, reports, sequence)
    if args.verb == "resume" and wave is None:
        failed = [
            int(report.get("wave", 0))
            for report in reports.values()
            if _sequence(report) == sequence and report.get("state") == RolloutState.FAILED
        ]
        wave = max(failed, default=0)
    order = SignedOrder(
        fleet, args.deployment, sequence, RolloutOrder(args.verb), max(wave or 0, 0), work.now
    )
    key = work.access.key()
    payload = (
        write_json({"status": "init", **order_document(order)}) if key is None else key.signed_order(order)
    )
    await work.link.publish(work.access.topics.order(args.deployment), payload)
    about = f" wave {order.wave}" if args.verb in {"approve", "resume"} else ""
    work.out.result(order_document(order), f"{args.verb}{about}: {args.deployment}, sequence {sequence}.")
    return OK


def wave_to_approve(deployment: str, reports: Mapping[str, Mapping[str, Any]], sequence: int) -> int:
    """The first wave that waits for an operator's word, by the hosts' own words.

    Raises:
        NotFoundError: none does; what they wait for instead is said.
    """
    waiting = {
        host: report
        for host, report in reports.items()
        if _sequence(report) == sequence and report.get("state") in _WAITS
    }
    asking = [
        int(each.get("wave", 0)) for each in waiting.values() if FOR_APPROVAL in str(each.get("reason", ""))
    ]
    if asking:
        return min(asking)
    why = "".join(
        f" {host}: {one_line(str(each.get('reason') or each['state']))}"
        for host, each in sorted(waiting.items())[:_SHOWN]
    )
    raise NotFoundError(
        f"No host waits for an approval of {deployment}.{why}",
        hint="Give it once one does ('edgehost fleet watch' tells), or --wave to approve one ahead.",
    )


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


def _reports(work: Work, deployment: str, chosen: set[str] | None) -> dict[str, Mapping[str, Any]]:
    return {
        member.name: member.deployments[deployment]
        for member in work.members().values()
        if deployment in member.deployments and (chosen is None or member.name in chosen)
    }


def _sequence(report: Mapping[str, Any]) -> int:
    sequence = report.get("sequence", 0)
    return sequence if isinstance(sequence, int) else 0
