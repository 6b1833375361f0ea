"""The software-management plug-in of thin-edge.io: tedge-agent lists, installs and removes components by it.

Make it the plug-in of the software type 'edgehost' with a script of two lines that root may execute:

  /etc/tedge/sm-plugins/edgehost
  #!/bin/sh
  exec edgehost -c /etc/edgehost/edgehost.toml sm-plugin "$@"

Only signed releases are installed: by name and version from the host's remotes, or from a signed bundle
(--file NAME.edgehost-bundle). Commands and exit codes are those of thin-edge.io's plug-in API and not the ones below:
0 done, 1 the arguments are wrong, 2 it failed for good, 3 it may succeed later.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_client, host_config
from edgehost.cli.output import Output
from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError, UnavailableError
from edgehost.domain.names import NAME

DONE: Final = 0
WRONG_ARGUMENTS: Final = 1
FAILED: Final = 2
TRY_LATER: Final = 3
#: tedge-agent gives a command five minutes.
_TIMEOUT_S: Final = 280.0
_MOST_LINES: Final = 1000
_MOST_BYTES: Final = 256 * 1024
_FIELDS: Final = 4


class _WrongArgumentsError(Exception):
    """The caller does not keep to the plug-in API."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _WrongArgumentsError(message)


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    version: str = ""
    file: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plug-in API has its own words and exit codes, so they are read in ``run``."""
    parser.add_argument(
        "words",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="list, prepare, install NAME, remove NAME, update-list, finalize",
    )


def run(args: argparse.Namespace, _out: Output) -> int:
    """Do what the API says; every outcome is one of its exit codes."""
    try:
        return _done(args)
    except _WrongArgumentsError as problem:
        return _said(WRONG_ARGUMENTS, str(problem))
    except (UnavailableError, TimeoutError) as problem:
        return _said(TRY_LATER, str(problem) or "the host did not answer in time")
    except (EdgehostError, OSError) as problem:
        return _said(FAILED, str(problem))


def _done(args: argparse.Namespace) -> int:
    parser = _Parser(prog="edgehost sm-plugin", add_help=False, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("list", "prepare", "finalize", "update-list"):
        verbs.add_parser(verb, add_help=False, allow_abbrev=False)
    for verb in ("install", "remove"):
        each = verbs.add_parser(verb, add_help=False, allow_abbrev=False)
        each.add_argument("name")
        each.add_argument("--module-version", default="")
        if verb == "install":
            each.add_argument("--file", default="")
    order = parser.parse_args(args.words)
    host = host_client(args)
    match order.verb:
        case "list":
            _list(host)
        case "prepare":
            host.control("POST", "refresh", body={})  # what is new is known by the time of the first install
        case "install":
            _install(args, host, _Module(order.name, order.module_version, order.file))
        case "remove":
            _remove(host, _Module(order.name, order.module_version))
        case "update-list":
            _update(args, host)
        case _:
            pass  # finalize: every order has been done by then
    return DONE


def _list(host: HostClient) -> None:
    """Name, tab, version. A host that does not run cannot say what it has, and saying nothing would be a lie."""
    for row in host.control("GET", "status")["components"]:
        print(f"{row['component']}\t{row['version']}")


def _install(args: argparse.Namespace, host: HostClient, module: _Module) -> None:
    name = _component(module)
    if module.file:
        _apply(args, Path(module.file))
    if module.version and _live(host).get(name) == module.version:
        return
    order = {"component": name} | ({"version": module.version} if module.version else {})
    host.control("POST", "deploy", body=order, timeout_s=_TIMEOUT_S)


def _apply(args: argparse.Namespace, file: Path) -> None:
    """A downloaded file has a name of tedge's making, so its content says what it is.

    Raises:
        RefusedError: it is no bundle, or its signatures do not hold here.
    """
    from edgehost.cli.bundle_verbs import apply_bundle  # noqa: PLC0415 - rarely

    report = apply_bundle(host_config(args), file, remote_name=None, timeout_s=_TIMEOUT_S)
    if report is None:
        raise UnavailableError("No host runs; the bundle is taken when it starts.")
    if report["outcome"] == "older":
        return
    if report["outcome"] != "taken":
        raise RefusedError(f"The file is {report['outcome']}. {report['reason']}")


def _remove(host: HostClient, module: _Module) -> None:
    name = _component(module)
    known = {row["component"] for row in host.control("GET", "releases")["releases"]}
    if name not in known:
        raise NotFoundError(f"No component '{name}' was ever installed here.")
    version = _live(host).get(name)
    if version is None or (module.version and module.version != version):
        return  # it is not there, and it is no error to remove it twice
    host.control("POST", "withdraw", body={"component": name})


def _update(args: argparse.Namespace, host: HostClient) -> None:
    """Every line, whatever becomes of the others; the first trouble is the outcome."""
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    lines = content.decode("utf-8", "replace").splitlines()
    if len(content) > _MOST_BYTES or len(lines) > _MOST_LINES:
        raise _WrongArgumentsError("the list is too long")
    orders = [_line(line) for line in lines if line.strip()]
    troubles: list[Exception] = []
    for verb, module in orders:
        try:
            if verb == "install":
                _install(args, host, module)
            else:
                _remove(host, module)
        except (EdgehostError, TimeoutError, OSError) as problem:
            print(f"{verb} {module.name}: {problem}", file=sys.stderr)
            troubles.append(problem)
    if troubles:
        raise next((each for each in troubles if not isinstance(each, UnavailableError)), troubles[0])


def _line(line: str) -> tuple[str, _Module]:
    fields = [field.strip() for field in line.split("\t")]
    if line[:1].isspace():  # the API's own examples indent their lines
        fields = [field.strip() for field in line.strip().split("\t")]
    if fields[0] not in {"install", "remove"} or not 1 < len(fields) <= _FIELDS:
        raise _WrongArgumentsError(f"the line {line[:80]!r} is no order")
    return fields[0], _Module(*fields[1:])


def _component(module: _Module) -> str:
    if not NAME.fullmatch(module.name):
        raise RefusedError(f"'{module.name[:80]}' is no component's name.")
    return module.name


def _live(host: HostClient) -> Mapping[str, str]:
    return {row["component"]: row["version"] for row in host.control("GET", "status")["components"]}


def _said(code: int, message: str) -> int:
    print(f"edgehost sm-plugin: {message}", file=sys.stderr)
    return code
