"""Gives orders to rollouts, and tells what the hosts say to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgehost.cli.command_table import FAILED, OK, TIMED_OUT
from edgehost.cli.fleet_watching import reports_on, sequence_of, whole_in
from edgehost.cli.output import one_line
from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.domain.json_text import write_json
from edgehost.domain.rollout_decision import FOR_APPROVAL
from edgehost.domain.rollout_messages import OrderAnswer, SignedOrder, order_document, order_mark, read_answer
from edgehost.domain.rollout_numbers import numbers, wave_fault
from edgehost.domain.rollout_report import RolloutOrder, RolloutState
from edgehost.domain.suggestion import did_you_mean

if TYPE_CHECKING:
    from edgehost.cli.fleet_work import Work

#: Hosts that are named in a message.
_SHOWN: Final = 3
#: What has not begun.
_WAITS: Final = frozenset({RolloutState.WAITING, RolloutState.PREPARED, RolloutState.HALTED})
#: Where an order changes nothing any more: the next sequence is the way on.
_DONE: Final = frozenset({RolloutState.SUCCESSFUL, RolloutState.FAILED})


async def give_order(work: Work) -> int:
    """Approve, halt, resume or abort a rollout; 0 when every host that is there obeys."""
    order = _order(work)
    topics, key = work.access.topics, work.access.key()
    payload = (
        write_json({"status": "init", **order_document(order)}) if key is None else key.signed_order(order)
    )
    await work.link.listen(topics.order_answers(order.deployment))
    await work.link.publish(topics.order(order.deployment), payload)
    asked = _asked(work, order)
    answered = partial(_answers, work, order.deployment, order_mark(payload))
    came = await work.link.until(lambda: asked <= answered().keys(), work.args.timeout)
    answers = answered()
    silent = sorted(asked - answers.keys())
    document = {
        **order_document(order),
        "answers": [
            {"host": host, "obeyed": answer.obeyed, "reason": answer.reason}
            for host, answer in answers.items()
        ],
        "silent": silent,
    }
    lines = _lines(work.args.verb, order, answers, silent)
    if order.order is RolloutOrder.RESUME and _all_done(work, order):
        lines.append(
            "Every host is done with this sequence, so nothing goes on; publish it anew to try again."
        )
    work.out.result(document, *lines)
    if any(not answer.obeyed for answer in answers.values()):
        return FAILED
    return OK if came else TIMED_OUT


def _order(work: Work) -> SignedOrder:
    """What the command line means.

    Raises:
        NotFoundError: nobody reports on such a deployment, or waits with it.
    """
    args = work.args
    reports = reports_on(work, args.deployment, None)
    if not reports and args.sequence is None:
        known = {name for member in work.members().values() for name in member.deployments}
        raise NotFoundError(
            f"No host reports on a deployment '{args.deployment}'.",
            hint=did_you_mean(args.deployment, known) or "Give --sequence if you know it.",
        )
    sequence = args.sequence
    if sequence is None:
        sequence = max(sequence_of(report) for report in reports.values())
    current = [report for report in reports.values() if sequence_of(report) == sequence]
    wave = getattr(args, "wave", None)
    if args.verb == "approve" and wave is None:
        wave = wave_to_approve(args.deployment, reports, sequence)
    if args.verb == "resume" and wave is None:
        wave = max(_waves(current, {RolloutState.FAILED}), default=0)
    order = RolloutOrder(args.verb)
    require_known(args.deployment, reports, sequence, order, wave or 0, ahead=args.ahead)
    fleet = work.access.topics.fleet
    return SignedOrder(fleet, args.deployment, sequence, order, max(wave or 0, 0), work.now)


def require_known(
    deployment: str,
    reports: Mapping[str, Mapping[str, Any]],
    sequence: int,
    order: RolloutOrder,
    wave: int,
    *,
    ahead: bool = False,
) -> None:
    """See that hosts report what an order names; where nobody reports on the deployment yet, nothing is known.

    ``ahead``: the sequence need not have come to any host yet.

    Raises:
        NotFoundError: they report others; those are named.
    """
    if not reports:
        return
    known: dict[int, int] = {}
    for report in reports.values():
        reported = sequence_of(report)
        known[reported] = max(known.get(reported, 0), whole_in(report, "waves"))
    if sequence not in known and not ahead:
        more = "s" if len(known) > 1 else ""
        raise NotFoundError(
            f"No host reports sequence {sequence} of {deployment}; they report sequence{more} {numbers(known)}.",
            hint="If it is on its way to them, give the order with --ahead: it holds once they have it."
            if sequence > max(known)
            else "Hosts that are not heard of may have it still: --ahead gives the order all the same.",
        )
    if fault := wave_fault(order, deployment, sequence, wave, known.get(sequence, 0)):
        raise NotFoundError(fault, hint="Waves are counted from 0; an order covers those before it, too.")


def wave_to_approve(deployment: str, reports: Mapping[str, Mapping[str, Any]], sequence: int) -> int:
    """The first wave that waits for an operator's word, by the hosts' own words.

    Raises:
        NotFoundError: none does; what they wait for instead is said.
    """
    waiting = {
        host: report
        for host, report in reports.items()
        if sequence_of(report) == sequence and report.get("state") in _WAITS
    }
    asking = [
        int(each.get("wave", 0)) for each in waiting.values() if FOR_APPROVAL in str(each.get("reason", ""))
    ]
    if asking:
        return min(asking)
    halted = any(each.get("state") == RolloutState.HALTED for each in waiting.values())
    why = "".join(
        f" {host}: {one_line(str(each.get('reason') or each['state']))}"
        for host, each in sorted(waiting.items())[:_SHOWN]
    )
    raise NotFoundError(
        f"No host waits for an approval of {deployment}.{why}",
        hint=f"What is halted goes on by 'edgehost fleet resume {deployment}'."
        if halted
        else "Give it once one does ('edgehost fleet watch' tells), or --wave to approve one ahead.",
    )


def _waves(reports: Sequence[Mapping[str, Any]], states: Collection[RolloutState]) -> list[int]:
    return [int(report.get("wave", 0)) for report in reports if report.get("state") in states]


def _asked(work: Work, order: SignedOrder) -> set[str]:
    """Whose answer is waited for: those that are awake, and have the deployment when any has."""
    awake = {member.name for member in work.members().values() if not member.is_asleep}
    concerned = reports_on(work, order.deployment, awake)
    return set(concerned) or awake


def _all_done(work: Work, order: SignedOrder) -> bool:
    reports = reports_on(work, order.deployment, None).values()
    states = {report.get("state") for report in reports if sequence_of(report) == order.sequence}
    return bool(states) and states <= _DONE


def _answers(work: Work, deployment: str, mark: str) -> dict[str, OrderAnswer]:
    """What has been said to this very order, by host."""
    found = {}
    for topic, payload in work.link.retained.items():
        place = work.access.topics.host_in(topic)
        if place is None or place[1] != f"order/{deployment}":
            continue
        try:
            answer = read_answer(payload)
        except RefusedError:
            continue
        if answer.of == mark:
            found[place[0]] = answer
    return dict(sorted(found.items()))


def _lines(
    verb: str, order: SignedOrder, answers: Mapping[str, OrderAnswer], silent: Sequence[str]
) -> list[str]:
    about = f" wave {order.wave}" if verb in {"approve", "resume"} else ""
    lines = [f"{verb}{about}: {order.deployment}, sequence {order.sequence}."]
    refused = {host: answer.reason for host, answer in answers.items() if not answer.obeyed}
    lines += [one_line(f"{host} refuses: {reason}") for host, reason in refused.items()]
    if refused:
        lines.append(
            "Every host that answers refuses it: it has no effect."
            if len(refused) == len(answers)
            else f"{len(answers) - len(refused)} of {len(answers)} hosts obey it."
        )
    said = {host: answer.reason for host, answer in answers.items() if answer.obeyed and answer.reason}
    lines += [one_line(f"{host}: {reason}") for host, reason in sorted(said.items())[:_SHOWN]]
    if len(said) > _SHOWN:
        lines.append(f"{len(said) - _SHOWN} more hosts say the like.")
    if silent:
        lines.append(one_line(f"No answer from {', '.join(silent)}; the order stays for them at the broker."))
    elif not answers:
        lines.append("No host is there to answer; those that wake find it at the broker.")
    return lines
