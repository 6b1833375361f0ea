"""What 'edgehost fleet' does, verb by verb."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import semver

from edgehost.adapters.fleet.command_signing import new_command
from edgehost.adapters.fleet.operator_link import OperatorLink, open_operator_link
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.bounded_file import read_bounded
from edgehost.cli.command_table import OK
from edgehost.cli.fleet_commands import Given, Giver, exit_code, seconds
from edgehost.cli.fleet_output import components_of, member_document, outcome_lines, span_of
from edgehost.cli.fleet_settings import FleetAccess, fleet_access
from edgehost.cli.output import Output, one_line, table
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_members import Member, Presence, Selection, members_in
from edgehost.domain.rollout_report import RolloutOrder
from edgehost.domain.suggestion import did_you_mean

_CONFIG_MOST_BYTES: Final = 64 * 1024
_VERB_OPERATIONS: Final = frozenset(
    {"deploy", "rollback", "restart", "call", "logs", "config", "diag", "flash", "readmit"}
)


@dataclass(frozen=True, slots=True)
class Work:
    """One run of the command."""

    args: argparse.Namespace
    out: Output
    access: FleetAccess
    link: OperatorLink

    @property
    def now(self) -> float:
        """By this machine's clock."""
        return SystemClock().now()

    def members(self) -> dict[str, Member]:
        """Every registered host."""
        return members_in(self.access.topics, self.link.retained)

    def chosen(self, *, must: bool) -> list[Member]:
        """The hosts that the command line means.

        Raises:
            UsageError: it means none, and the verb needs some.
            NotFoundError: there are none of that kind.
        """
        selection = _selection(self.args)
        if must and selection.is_empty:
            raise UsageError("say which hosts: --host, --class, --label or --all")
        members = self.members()
        missing = [name for name in selection.names if name not in members]
        if missing:
            hint = did_you_mean(missing[0], members)
            raise NotFoundError(f"No host '{missing[0]}' is registered in this fleet.", hint=hint)
        chosen = selection.of(members.values())
        if not chosen and (must or not selection.is_empty):
            raise NotFoundError(
                "No registered host is meant by that.", hint="'edgehost fleet ls' lists them."
            )
        return chosen


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
        notes = [f"{len(member.alarms)} alarms"] if member.alarms else []
        notes += [f"{member.open_commands} open commands"] if member.open_commands else []
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
        f"{len(rows)} hosts, {len(rows) - away} online.",
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
    arguments = _arguments(args)
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
        able = _outdated(able, arguments)
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


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What the host is asked for; empty words are left out."""
    device = getattr(args, "device", "")
    _require_target(args, device)
    match args.verb:
        case "deploy":
            name, _, version = args.target.partition("@")
            found = {"deployment": name} if args.deployment else {"component": name, "version": version}
        case "call":
            found = {
                "component": args.component,
                "function": args.function,
                "payload": _payload(args.payload),
            }
        case "logs":
            found = {"component": args.component, "host": args.of_host, "lines": args.lines}
        case "config":
            text = "" if args.file is None else _text(Path(args.file))
            found = {"text": text, "show": args.show, "revert": args.revert}
        case "flash":
            firmware, _, version = args.firmware.partition("@")
            found = {"board": args.board, "firmware": firmware, "version": version}
            found |= {name: getattr(args, name) for name in ("line", "baud", "tool", "erase_all", "dry_run")}
        case "diag" | "readmit":
            found = {}
        case _:
            found = {"component": args.component}
    found["device"] = device
    unsaid = {"verify": False} if getattr(args, "no_verify", False) else {}
    return {name: value for name, value in found.items() if value not in (None, "", False)} | unsaid


def _require_target(args: argparse.Namespace, device: str) -> None:
    """A device holds one component: what is asked of the device itself names none."""
    if args.verb in {"rollback", "restart", "logs"} and device and args.component:
        raise UsageError("--device stands for what runs there: leave COMPONENT out")
    if args.verb == "rollback" and not device and not args.component:
        raise UsageError("say what goes back: COMPONENT, or --device DEVICE")
    if args.verb == "deploy" and device and (args.deployment or args.only_outdated):
        raise UsageError("--device goes with a component alone, without --deployment or --only-outdated")
    if args.verb == "logs" and device and args.of_host:
        raise UsageError("--device stands beside --of-host: drop one")


def _payload(text: str | None) -> Any:  # noqa: ANN401 - JSON holds anything
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _text(file: Path) -> str:
    try:
        return read_bounded(file, _CONFIG_MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise RefusedError(f"{file} is no text.") from None


def _outdated(members: Sequence[Member], arguments: Mapping[str, Any]) -> list[Member]:
    """Those that have another version than is asked for, or than the newest among them."""
    if "deployment" in arguments:
        name = arguments["deployment"]
        sequences = {member.name: _sequence(member, name) for member in members}
        top = max(sequences.values(), default=0)
        return [member for member in members if sequences[member.name] < top or not top]
    component, wanted = arguments["component"], arguments.get("version", "")
    versions = {member.name: member.version_of(component) for member in members}
    known = [semver.Version.parse(each) for each in versions.values() if semver.Version.is_valid(each)]
    wanted = wanted or str(max(known, default=""))
    return [member for member in members if versions[member.name] != wanted or not wanted]


def _sequence(member: Member, deployment: str) -> int:
    sequence = member.deployments.get(deployment, {}).get("sequence", 0)
    return sequence if isinstance(sequence, int) else 0


def _selection(args: argparse.Namespace) -> Selection:
    labels = {}
    for each in args.label:
        key, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"'{each}' is no K=V")
        labels[key] = value
    return Selection(tuple(args.host), args.device_class, labels, args.all)


_VERBS: Final[Mapping[str, Verb]] = {
    "ls": _ls,
    "keys": _keys,
    "cancel": _cancel,
    "watch": _watch,
    **dict.fromkeys((str(each) for each in RolloutOrder), _order),
}
