"""What 'edgehost fleet' does, verb by verb."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from edgehost.adapters.fleet.command_signing import new_command
from edgehost.adapters.fleet.operator_link import open_operator_link
from edgehost.cli.command_table import OK
from edgehost.cli.fleet_arguments import command_arguments, outdated
from edgehost.cli.fleet_commands import Given, Giver, exit_code, seconds
from edgehost.cli.fleet_output import components_of, count_of, member_document, outcome_lines, span_of
from edgehost.cli.fleet_settings import FleetAccess, fleet_access
from edgehost.cli.fleet_work import Work
from edgehost.cli.output import Output, one_line, table
from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_members import Member, Presence
from edgehost.domain.rollout_report import RolloutOrder

_VERB_OPERATIONS: Final = frozenset(
    {"deploy", "rollback", "restart", "call", "logs", "config", "diag", "flash", "readmit"}
)


Verb = Callable[[Work], Awaitable[int]]


def run_verb(args: argparse.Namespace, out: Output) -> int:
    """Run one verb to its exit code."""
    # What is wrong with a broker is in the error that ends the command.
    logging.getLogger("remotes.mqtt_connection").setLevel(logging.ERROR)
    access = fleet_access(args)
    if args.verb == "sign":
        return _sign(args, out, access)
    return asyncio.run(_run(args, out, access))


async def _run(args: argparse.Namespace, out: Output, access: FleetAccess) -> int:
    topics = access.topics
    below = ("", "/status", "/twin/components", "/twin/clock", "/twin/deployment/+", "/a/+", "/cmd/+/+")
    filters = [topics.registrations + each for each in below]
    async with open_operator_link(topics, access.options, filters) as link:
        work = Work(args, out, access, link)
        if link.is_guess:
            out.note(
                f"This user may not write to {link.marks}: that all has come is told by {link.still_s:g} s of silence."
            )
        if args.verb in _VERB_OPERATIONS:
            return await _command(work)
        return await _VERBS[args.verb](work)


async def _ls(work: Work) -> int:
    members, now = work.chosen(must=False), work.now
    rows, documents = [], []
    for member in members:
        presence, age = member.presence(now), member.age_s(now)
        shown = components_of(member, work.args.component)
        labels = ",".join(f"{key}={value}" for key, value in sorted(member.labels.items()))
        notes = [count_of(len(member.alarms), "alarm")] if member.alarms else []
        notes += [count_of(member.open_commands, "open command")] if member.open_commands else []
        notes += [] if member.clock_is_set else ["clock not set"]
        notes += [f"set aside: {', '.join(member.failures)} failed"] if member.failures else []
        rows.append(
            (member.name, presence, span_of(age), member.device_class, labels, shown, ", ".join(notes))
        )
        documents.append(member_document(member, presence, age))
    out = work.out
    headings = ("host", "presence", "heard", "class", "labels", work.args.component or "runs", "")
    away = sum(1 for document in documents if document["presence"] != Presence.ONLINE)
    out.result(
        {"fleet": work.access.topics.fleet, "hosts": documents},
        *table(headings, rows),
        f"{count_of(len(rows), 'host')}, {len(rows) - away} online.",
    )
    return OK


async def _keys(work: Work) -> int:
    """As hosts say: who takes them over into a deployment vouches for them from then on."""
    members = work.chosen(must=False)
    keys = {member.name: member.key for member in members if member.key}
    for member in members:
        if not member.key:
            work.out.note(f"{member.name}: it signs no reports (fleet.sign_reports).")
    if not keys:  # an empty table would count what nobody has signed
        raise NotFoundError(
            "No host here signs its reports.",
            hint="Set fleet.sign_reports = true on the hosts; each makes its key when it starts again.",
        )
    work.out.result({"keys": keys}, "[rollout.keys]", *(f'{name} = "{key}"' for name, key in keys.items()))
    return OK


async def _command(work: Work) -> int:
    args, out = work.args, work.out
    operation = Operation(args.verb)
    arguments = command_arguments(args)
    members = work.chosen(must=True)
    able = [member for member in members if operation in member.can]
    for member in members:
        if member not in able:
            out.note(f"{member.name}: it cannot '{operation}'.")
    if not able:
        raise RefusedError(
            f"None of these hosts can '{operation}'.", hint="See [fleet] commands on the hosts."
        )
    if args.verb == "deploy" and args.only_outdated:
        able = outdated(able, arguments)
        if not able:
            out.result({"commands": []}, "Every host is up to date.")
            return OK
    giver = Giver(work.link, work.access.key(), lambda: work.now, out)
    given = await giver.give(able, operation, arguments, seconds(args.valid))
    for each in given:
        asleep = ", which is away and finds it when it comes back" if each.asleep else ""
        out.note(f"{each.host}: given {each.id}{asleep}.")
    if not args.no_wait:
        await giver.follow(given, args.timeout)
    lines = [line for each in given for line in outcome_lines(args, each)]
    out.result({"commands": [each.document() for each in given]}, *lines)
    return exit_code(given, waited=not args.no_wait)


async def _cancel(work: Work) -> int:
    chosen = {member.name for member in work.chosen(must=False)}
    found = [
        (member, Operation(operation), state)
        for member in work.members().values()
        for (operation, command_id), state in member.commands.items()
        if command_id == work.args.id and member.name in chosen
    ]
    if not found:
        raise NotFoundError(
            f"No host has a command {work.args.id}.", hint="It may have ended and been cleared."
        )
    giver = Giver(work.link, work.access.key(), lambda: work.now, work.out)
    given = []
    for member, operation, state in found:
        topic = work.access.topics.host(member.name).command(operation, work.args.id)
        each = Given(member.name, topic, operation, work.args.id, member.is_asleep)
        if state.get("status") == "init" and member.is_asleep:
            await work.link.publish(topic, b"")  # it has not been seen, and is the requester's still
            each.state = "taken back"
        elif state.get("status") in {"successful", "failed"}:
            each.state, each.reason = str(state["status"]), "It had ended already."
        else:
            await _publish_cancellation(work, giver, member, each)
        given.append(each)
    await giver.follow(
        [each for each in given if each.state == "given" and not each.asleep], work.args.timeout
    )
    lines = [f"{each.host}: {each.state}. {each.reason}".rstrip(". ") + "." for each in given]
    work.out.result({"commands": [each.document() for each in given]}, *map(one_line, lines))
    return OK


async def _publish_cancellation(work: Work, giver: Giver, member: Member, each: Given) -> None:
    command = new_command(
        each.operation,
        {},
        fleet=work.access.topics.fleet,
        audience=[member.name],
        now=work.now,
        life_s=3600,
        command_id=each.id,
    )
    payload = b"" if giver.key is None else giver.key.signed_cancellation(command)
    await work.link.publish(each.topic, payload)


async def _watch(work: Work) -> int:
    from edgehost.cli.fleet_watching import watch  # noqa: PLC0415 - only for this verb

    return await watch(work)


async def _order(work: Work) -> int:
    from edgehost.cli.fleet_orders import give_order  # noqa: PLC0415 - only for these verbs

    return await give_order(work)


def _sign(args: argparse.Namespace, out: Output, access: FleetAccess) -> int:
    from edgehost.cli.fleet_signing import sign_command  # noqa: PLC0415 - only for this verb

    return sign_command(args, out, access)


_VERBS: Final[Mapping[str, Verb]] = {
    "ls": _ls,
    "keys": _keys,
    "cancel": _cancel,
    "watch": _watch,
    **dict.fromkeys((str(each) for each in RolloutOrder), _order),
}
