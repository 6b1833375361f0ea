"""Outcomes of commands and hosts of a fleet, for people and for programs."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.cli.fleet_commands import Given
from edgehost.cli.output import one_line, size
from edgehost.domain.fleet_members import Member, Presence

#: What was given and is not at its end, as people are told once they have waited for long enough.
_UNDER_WAY: Final = {"given": "no answer", "executing": "not done"}
_SPAN_S: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def outcome_lines(args: argparse.Namespace, given: Given) -> list[str]:
    """An outcome for people."""
    if given.state in _UNDER_WAY and not getattr(args, "no_wait", True):
        lead = f"{given.host}: {_UNDER_WAY[given.state]} in time. {given.reason}".rstrip(". ")
        return [one_line(f"{lead}. It stays given: 'edgehost fleet cancel {given.id}' takes it back.")]
    if given.state != "successful":
        return [one_line(f"{given.host}: {given.state}. {given.reason}".rstrip(". ") + ".")]
    shown = _SHOWN.get(args.verb)
    lines = [] if shown is None else shown(args, given)
    if lines is not None and shown is not None:
        return lines
    words = ("device", "component", "deployment", "version", "state", "restarted")
    what = " ".join(str(given.result[name]) for name in words if name in given.result)
    return [one_line(f"{given.host}: successful{f', {what}' if what else ''}.")]


def _logs(_args: argparse.Namespace, given: Given) -> list[str]:
    if "host" in given.result:
        return [f"{given.host}  {one_line(str(line))}" for line in given.result["host"]]
    return [
        one_line(
            f"{given.host}  {given.result['device']}  {line}"
            if "device" in given.result
            else f"{given.host}  {line['component']}  {line['level']:<7}  {line['message']}"
        )
        for line in given.result.get("lines", ())
    ]


def _call(_args: argparse.Namespace, given: Given) -> list[str]:
    result = given.result
    answer = result.get("json", result.get("text", result.get("base64")))
    return [f"{given.host}: {one_line(answer if isinstance(answer, str) else json.dumps(answer))}"]


def _config(_args: argparse.Namespace, given: Given) -> list[str] | None:
    if "text" not in given.result:
        return [f"{given.host}: generation {given.result.get('number')} is {given.result.get('standing')}."]
    lines = [one_line(line) for line in str(given.result["text"]).splitlines()]
    return [f"# {given.host}, generation {given.result['generation']}", *lines]


def _diag(args: argparse.Namespace, given: Given) -> list[str] | None:
    if "base64" not in given.result:
        return None
    file = Path(args.to) / f"{given.host}-diag.tar.gz"
    file.write_bytes(base64.b64decode(given.result["base64"]))
    return [f"{given.host}: wrote {file}."]


def _flash(_args: argparse.Namespace, given: Given) -> list[str] | None:
    plan, outcome = given.result.get("plan"), given.result.get("outcome")
    if plan is None:
        return None
    image = plan["image"]
    where = f"{plan['board']}{f' over {line}' if (line := plan['line']) else ''}"
    what = f"{image['name']} {image['version']}"
    if outcome is None:
        tool = f" by {plan['tool']}" if plan["tool"] not in ("", "built-in") else ""
        line = f"would write {what}, {size(image['size_bytes'])}, to {where} ({plan['protocol']}{tool})"
        notes = plan["notes"]
    else:
        checked = "verified" if outcome["verified"] else "not verified"
        line = f"wrote {what} to {where}, {outcome['chip']}, {checked}"
        notes = outcome.get("notes", ())
    return [one_line(each) for each in (f"{given.host}: {line}.", *(f"  Note: {note}" for note in notes))]


def _readmit(_args: argparse.Namespace, given: Given) -> list[str] | None:
    count = given.result.get("forgotten", 0)
    failures = f"; {count} failed {'deployment is' if count == 1 else 'deployments are'} forgotten"
    what = "rollouts count on it again" if given.result.get("was_set_aside") else "it was not set aside"
    return [one_line(f"{given.host}: {what}{failures if count else ''}.")]


_SHOWN: Final[Mapping[str, Callable[[argparse.Namespace, Given], list[str] | None]]] = {
    "logs": _logs,
    "call": _call,
    "config": _config,
    "diag": _diag,
    "flash": _flash,
    "readmit": _readmit,
}


def components_of(member: Member, wanted: str | None) -> str:
    """What it runs, or which version of one component."""
    if wanted:
        return member.version_of(wanted) or "-"
    return " ".join(f"{name}@{member.version_of(name)}" for name in sorted(member.components)) or "-"


def member_document(member: Member, presence: Presence, age: float | None) -> dict[str, Any]:
    """A host for programs."""
    return {
        "host": member.name,
        "presence": str(presence),
        "heard_s_ago": None if age is None else round(age, 1),
        "online_since": member.status.get("since"),
        "class": member.device_class,
        "labels": dict(member.labels),
        "clock_is_set": member.clock_is_set,
        "capabilities": sorted(member.can),
        "components": dict(member.components),
        "deployments": dict(member.deployments),
        "alarms": dict(member.alarms),
        "open_commands": member.open_commands,
        "set_aside": list(member.failures),
    }


def span_of(span_s: float | None) -> str:
    """How long ago, as people say it."""
    if span_s is None:
        return "?"
    for unit_s, name in _SPAN_S:
        if span_s >= unit_s:
            return f"{span_s / unit_s:.0f} {name} ago"
    return f"{span_s:.0f} s ago"


def count_of(count: int, what: str) -> str:
    """Such as "1 host" and "2 hosts"."""
    return f"{count} {what}{'' if count == 1 else 's'}"
