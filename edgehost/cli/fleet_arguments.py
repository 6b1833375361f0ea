"""What the line of a command to hosts asks them for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import semver

from edgehost.cli.bounded_file import read_bounded
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_members import Member

_CONFIG_MOST_BYTES: Final = 64 * 1024


def command_arguments(args: argparse.Namespace) -> dict[str, Any]:
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


def outdated(members: Sequence[Member], arguments: Mapping[str, Any]) -> list[Member]:
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
