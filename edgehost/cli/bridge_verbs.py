"""What the verbs of ``edgehost bridge`` do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, one_line, printable, size, table
from edgehost.cli.progress import Progress

#: A component of 64 KB at 9600 baud takes 70 seconds.
_DEPLOY_S: Final = 1800.0


def _list(args: argparse.Namespace, out: Output) -> int:
    devices = host_client(args).control("GET", "devices")["devices"]
    rows = [
        (
            device["name"],
            "online" if device["online"] else "offline",
            moment(device["since"]) if device["since"] else "-",
            (device["identity"] or {}).get("board", "-"),
            _running(device),
            device["line"],
        )
        for device in devices
    ]
    out.result({"devices": devices}, *table(("device", "state", "since", "board", "runs", "line"), rows))
    return OK


def _show(args: argparse.Namespace, out: Output) -> int:
    device = host_client(args).control("GET", f"devices/{quote(args.device)}")
    _shown(device, out)
    return OK


def _shown(device: Mapping[str, Any], out: Output) -> None:
    state = "online" if device["online"] else f"offline: {one_line(device['reason'])}"
    lines = [f"{device['name']} on {device['line']}: {state}"]
    if device["since"]:
        lines.append(f"  since     {moment(device['since'])}")
    if identity := device["identity"]:
        lines += [
            f"  board     {identity['board']} ({identity['core']}), id {identity['uid']}",
            f"  firmware  {identity['firmware']}, engine {identity['engine']}",
            f"  budgets   {_budgets(identity)}",
            f"  believes  {', '.join(identity['keys']) or 'no key: it takes no component'}",
        ]
    lines += _firmware(device["firmware"])
    lines.append(f"  runs      {_running(device)}")
    if (slots := device["slots"]) and slots["can_roll_back"]:
        lines.append("  rollback  possible")
    if transfer := device["transfer"]:
        lines.append(
            f"  coming    {transfer['component']} {transfer['version']}, "
            f"{size(transfer['done_bytes'])} of {size(transfer['size_bytes'])}"
        )
    if device["telemetry"]:
        lines.append(f"  told      {one_line(json.dumps(device['telemetry'], ensure_ascii=False))}")
    out.result(device, *lines)


def _firmware(firmware: Mapping[str, Any]) -> list[str]:
    """What deployments have to do with it."""
    lines = []
    if firmware["image"]:
        lines.append(f"  image     {firmware['image']} {firmware['running']}")
    if firmware["wanted"] not in {"", firmware["running"]}:
        lines.append(f"  wanted    {firmware['wanted']}")
    if flash := firmware["flash"]:
        progress = flash["progress"] or {"phase": "", "done": 0, "total": 0}
        done = f", {size(progress['done'])} of {size(progress['total'])}" if progress["total"] else ""
        lines.append(f"  flash     {flash['firmware']} {flash['version']}: {flash['stage']}{done}")
    if firmware["lost"]:
        lines.append(f"  lost      {one_line(firmware['lost'])}")
    if by_hand := firmware["by_hand"]:
        lines.append(f"  by hand   {one_line(by_hand['problem'])}")
    lines += [f"  refused   {digest[:12]}: {one_line(why)}" for digest, why in firmware["failed"].items()]
    return lines


def _call(args: argparse.Namespace, out: Output) -> int:
    host = host_client(args)
    path = f"{host.root}/host/devices/{'/'.join(map(_part, (args.device, 'call', args.component, args.function)))}"
    answer = host.request("POST", path, content=args.input.encode())
    text = answer.body.decode("utf-8", "replace")
    if out.as_json:
        try:
            output: Any = json.loads(text)
        except ValueError:
            output = text
        out.result({"output": output})
    else:
        sys.stdout.write(printable(text) + ("\n" if text else ""))
    return OK


def _watch(args: argparse.Namespace, out: Output) -> int:
    host = host_client(args)
    host.control("GET", f"devices/{quote(args.device)}")  # it is known
    left = args.count
    with host.events(f"{host.root}/events", query=[("type", "edgehost.device.*")]) as events:
        for event in events:
            document: dict[str, Any] = json.loads(event.data)
            if document.get("subject") != args.device:
                continue
            kind = str(document.get("type", "")).removeprefix("edgehost.device.")
            data = json.dumps(document.get("data", {}), ensure_ascii=False)
            out.item(document, f"{document.get('time', '')}  {kind:<9}  {data}")
            left = None if left is None else left - 1
            if left is not None and left <= 0:
                return OK
    out.note("edgehost: the host has ended the stream.")
    return OK


def _deploy(args: argparse.Namespace, out: Output) -> int:
    component, _, version = args.component.partition("@")
    body = {"component": component} | ({"version": version} if version else {})
    with Progress(f"deploying {args.component} to {args.device}", out):
        device = host_client(args).control(
            "POST", f"devices/{quote(args.device)}/deploy", body=body, timeout_s=_DEPLOY_S
        )
    out.result(device, f"{device['name']} runs {_running(device)}.")
    return OK


def _roll_back(args: argparse.Namespace, out: Output) -> int:
    device = host_client(args).control("POST", f"devices/{quote(args.device)}/rollback")
    out.result(device, f"{device['name']} runs {_running(device)} again.")
    return OK


def _log(args: argparse.Namespace, out: Output) -> int:
    host = host_client(args)
    answer = host.request("GET", f"{host.root}/host/devices/{quote(args.device)}/log")
    text = answer.body.decode("utf-8", "replace")
    out.result({"log": text}, *text.splitlines())
    return OK


def _reset(args: argparse.Namespace, out: Output) -> int:
    host_client(args).control("POST", f"devices/{quote(args.device)}/reset")
    out.result({"reset": args.device}, f"{args.device} begins anew.")
    return OK


def _running(device: Mapping[str, Any]) -> str:
    running = (device["slots"] or {}).get("running")
    return f"{running['component']} {running['version']}" if running else "-"


def _budgets(identity: Mapping[str, Any]) -> str:
    budgets = f"component {size(identity['slot_bytes'])}, memory {size(identity['memory_bytes'])}"
    budgets += f", input {size(identity['body_bytes'])}"
    return budgets if identity["has_float"] else f"{budgets}, no floating point"


def _part(text: str) -> str:
    return quote(text, safe="")


VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Output], int]]] = {
    "ls": _list,
    "show": _show,
    "call": _call,
    "watch": _watch,
    "deploy": _deploy,
    "rollback": _roll_back,
    "log": _log,
    "reset": _reset,
}
