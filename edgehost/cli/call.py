"""Call a function of a component of the running host, or of any .wasm file in a sandbox without a host.

The output goes to standard output exactly as the function gave it; errors and the guest's log go to standard
error. A trap, a refusal or a dead sandbox is exit code 1, a passed deadline 4.

The export gets the input as it stands. A model's command, which runs on a stored record, is called over the API:
POST <api root>/models/ENDPOINT/ID/commands/COMMAND.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from edgehost.cli.bounded_file import MOST_COMPONENT_BYTES, read_input, read_regular
from edgehost.cli.command_table import OK
from edgehost.cli.host_client import DEFAULT_TIMEOUT_S
from edgehost.cli.output import Output, one_line
from edgehost.cli.progress import Progress
from edgehost.cli.usage import UsageError, whole
from edgehost.domain.component_spec import Abi
from edgehost.domain.errors import NotFoundError
from edgehost.domain.names import NAME

#: 4 GiB, the end of a 32-bit memory.
_MOST_MEMORY_KIB: Final = 4 * 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "target", metavar="FILE.wasm|COMPONENT", help="a file, or a component of the running host"
    )
    parser.add_argument("function", metavar="FUNCTION", help="export of the module or component")
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--input", metavar="TEXT|@FILE|-", help="input for abi extism or aegis; - reads standard input"
    )
    given.add_argument("--args", metavar="NUMBER", nargs="*", help="arguments for abi plain")
    parser.add_argument("--deadline-ms", metavar="N", type=whole(1, 600_000), help="wall time of the call")
    trial = parser.add_argument_group("for a file")
    trial.add_argument(
        "--abi", choices=["auto", *Abi], default="auto", help="default: what the file looks like"
    )
    trial.add_argument(
        "--config",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="the guest's configuration; may be repeated",
    )
    trial.add_argument(
        "--memory-kib", metavar="N", type=whole(64, _MOST_MEMORY_KIB), help="linear memory it may use"
    )
    trial.add_argument(
        "--allow-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a host it may reach over HTTP; may be repeated",
    )
    trial.add_argument(
        "--wasi",
        action="store_true",
        help="accepted as Extism's tool has it; the minimal WASI is there without it",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Call, and hand on the answer."""
    payload = read_input(args.input)
    path = Path(args.target).expanduser()
    if path.exists() and not path.is_dir():
        return _run_file(path, payload, args, out)
    if not NAME.fullmatch(args.target):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise NotFoundError(f"{args.target} {what}.", hint="Name a .wasm file, or a component of the host.")
    return _run_component(payload, args, out)


def _run_file(path: Path, payload: bytes, args: argparse.Namespace, out: Output) -> int:
    wasm = read_regular(path, MOST_COMPONENT_BYTES)
    from edgehost.cli.call_file import call_file  # noqa: PLC0415 - the sandbox, only for a file
    from edgehost.cli.trial_plan import TrialWishes, plan_trial  # noqa: PLC0415 - likewise

    wishes = TrialWishes(
        function=args.function,
        abi=None if args.abi == "auto" else Abi(args.abi),
        has_input=args.input is not None,
        has_numbers=args.args is not None,
        config=dict(_pair(each) for each in args.config),
        deadline_ms=args.deadline_ms,
        memory_kib=args.memory_kib,
        http_hosts=tuple(args.allow_host),
    )
    plan = plan_trial(path.stem, wasm, wishes)
    if plan.abi is Abi.EXTISM and args.args is not None:
        raise UsageError("--args is for abi plain; a function of abi extism takes --input")
    if args.input is None and (plan.abi is Abi.PLAIN or args.args):
        payload = _plain_payload(args.args or [])
    lines: list[dict[str, str]] = []

    def log(component: str, level: str, message: str) -> None:
        lines.append({"level": level, "message": message})
        out.note(one_line(f"{component}: {level}: {message}"))

    with Progress(f"{plan.component}: {args.function}", out):
        result = call_file(plan, args.function, payload, log=log)
    for defence, state in result.confinement.items():
        if state != "on":
            out.note(f"edgehost: the sandbox runs without {defence}: {state}")
    _show(
        _said(result.output) if plan.abi is Abi.AEGIS else result.output,
        {"call_ms": round(result.call_ms, 3), "start_ms": round(result.start_ms, 3), "log": lines},
        out,
        is_text=plan.abi is not Abi.EXTISM,
    )
    return OK


def _run_component(payload: bytes, args: argparse.Namespace, out: Output) -> int:
    from edgehost.cli.host_config import host_client  # noqa: PLC0415 - the configuration, only for a component

    _refuse_trial_options(args)
    if args.args is not None:
        payload = _plain_payload(args.args)
    host = host_client(args)
    timeout_s = DEFAULT_TIMEOUT_S if args.deadline_ms is None else args.deadline_ms / 1000
    began = time.perf_counter()
    with Progress(f"{args.target}: {args.function}", out):
        answer = host.request(
            "POST",
            f"{host.root}/host/call/{quote(args.target, '')}/{quote(args.function, '')}",
            content=payload,
            headers={"Content-Type": "application/octet-stream"},
            timeout_s=timeout_s,
        )
    _show(answer.body, {"call_ms": round((time.perf_counter() - began) * 1000, 3)}, out, is_text=False)
    return OK


def _refuse_trial_options(args: argparse.Namespace) -> None:
    """A component on a host has its limits and grants from its specification and the host's configuration."""
    given = {
        "--abi": args.abi != "auto",
        "--config": args.config,
        "--memory-kib": args.memory_kib,
        "--allow-host": args.allow_host,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} is for files; '{args.target}' is taken for a component of the host")


def _show(output: bytes, extra: dict[str, Any], out: Output, *, is_text: bool) -> None:
    if out.as_json:
        try:
            document: dict[str, Any] = {"output": output.decode()}
        except UnicodeDecodeError:
            document = {"output_base64": base64.b64encode(output).decode()}
        out.result({**document, **extra})
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(output)
    if is_text or (sys.stdout.isatty() and not output.endswith(b"\n")):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _said(output: bytes) -> bytes:
    """A string as it is, without JSON's quotes; pairs and numbers as JSON."""
    said = json.loads(output) if output else ""
    return said.encode() if isinstance(said, str) else output


def _plain_payload(numbers: Sequence[str]) -> bytes:
    return json.dumps([_number(each) for each in numbers]).encode()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--config takes KEY=VALUE, not '{text}'.")
    return key, value


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"--args takes numbers, not '{text}'.")
