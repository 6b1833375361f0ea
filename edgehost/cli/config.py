"""The generations of this host's configuration: list, show, apply, compare, go back.

A configuration that is applied is on trial for [host] config_trial_s; a host that is not well on it goes back to the
last good one by itself. Works with and without a running host, which restarts in place to take a new one.
"""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import config_path, host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, table
from edgehost.config import parse_config, read_config_file
from edgehost.domain.errors import InvalidConfigError, NotFoundError, UnavailableError

_READING: Final = ("ls", "show", "diff")
#: A host that restarts in place answers again within this time.
_PATIENCE_S: Final = 5.0
_KNOCK_S: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("ls", help="every generation, and what became of it")
    show = verbs.add_parser("show", help="the text of a generation")
    show.add_argument("number", type=int, nargs="?", help="the one that runs, without a number")
    apply = verbs.add_parser("apply", help="make a file, or the host's own edited one, the newest generation")
    apply.add_argument("file", metavar="FILE", nargs="?", help="without one: the host's configuration file")
    verbs.add_parser("confirm", help="take the running one for good before its trial is over")
    verbs.add_parser("revert", help="go back to the good generation before this one")
    diff = verbs.add_parser("diff", help="what changed from one generation to another")
    diff.add_argument("old", type=int, nargs="?", help="the last good one before the newest, without numbers")
    diff.add_argument("new", type=int, nargs="?", help="the newest, without a number")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    with _opened(args) as source:
        match args.verb:
            case "ls":
                _list(source, out)
            case "show":
                number = source.running if args.number is None else args.number
                text = source.text(number)
                out.result({"number": number, "text": text}, text.rstrip("\n"))
            case "diff":
                _diff(source, args, out)
            case "apply":
                content = None if args.file is None else _readable(Path(args.file), source.file)
                _tell(source.apply(content), "was applied", source, out)
            case "revert":
                _tell(source.revert(), "was gone back to", source, out)
            case _:
                _tell(source.confirm(), "is good", source, out)
    return OK


def _readable(file: Path, own: Path) -> bytes:
    """The text of a file that would be this host's; complaints name it and not the host's own.

    Raises:
        NotFoundError: there is none. InvalidConfigError: it cannot be read.
    """
    content = read_config_file(file)
    try:
        parse_config(content, own)
    except InvalidConfigError as problem:
        raise InvalidConfigError(problem.message.replace(str(own), str(file), 1), hint=problem.hint) from None
    return content


@dataclass
class _Source:
    """The generations, from the running host or from its data folder."""

    client: HostClient | None
    generations: Any = None  # ConfigurationGenerations, of a host that is down
    file: Path = Path()

    @property
    def rows(self) -> list[dict[str, Any]]:
        if self.client is not None:
            rows: list[dict[str, Any]] = self.client.control("GET", "generations")["generations"]
            return rows
        return [each.document() for each in self.generations.known.all]

    @property
    def running(self) -> int:
        if self.client is not None:
            return int(self.client.control("GET", "generations")["running"])
        chosen = self.generations.known.chosen
        if chosen is None:
            raise NotFoundError("This host has never started.", hint="Start it: 'edgehost run'.")
        return int(chosen.number)

    def text(self, number: int) -> str:
        if self.client is not None:
            return str(self.client.control("GET", f"generation/{number}")["text"])
        return str(self.generations.text(number).decode("utf-8", "replace"))

    def apply(self, content: bytes | None) -> dict[str, Any]:
        if self.client is not None:
            body = {} if content is None else {"text": content.decode("utf-8", "replace")}
            answer: dict[str, Any] = self.client.control("POST", "apply-config", body=body)
            return answer
        if content is None:
            return dict(self.generations.propose(read_config_file(self.file), "file", seen=True).document())
        return dict(self.generations.propose(content, "operator").document())

    def revert(self) -> dict[str, Any]:
        if self.client is not None:
            answer: dict[str, Any] = self.client.control("POST", "revert-config")
            return answer
        return dict(self.generations.revert("An operator went back.").document())

    def confirm(self) -> dict[str, Any]:
        if self.client is not None:
            answer: dict[str, Any] = self.client.control("POST", "confirm-config")
            return answer
        return dict(self.generations.confirm(self.running).document())


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[_Source]:
    """The running host; else its files. A host that is just starting or stopping is waited for, where it matters."""
    from edgehost.composition.life_opening import (  # noqa: PLC0415 - not for --help
        data_folder,
        generations_in,
        open_generations,
    )

    path = config_path(args).absolute()
    client = host_client(args)
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            client.control("GET", "generations")
        except UnavailableError:
            if args.verb in _READING:
                yield _Source(None, generations_in(path, data_folder(read_config_file(path), path)), path)
                return
        else:
            yield _Source(client, file=path)
            return
        with ExitStack() as stack:
            try:
                generations = stack.enter_context(open_generations(path))
            except UnavailableError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(_KNOCK_S)
                continue
            yield _Source(None, generations, path)
            return


def _list(source: _Source, out: Output) -> None:
    rows, running = source.rows, source.running if source.rows else 0
    lines = [
        (
            f"{each['number']}{' *' if each['number'] == running else ''}",
            each["standing"],
            moment(each["at"]),
            each["origin"],
            each["digest"][:12],
            each["reason"],
        )
        for each in rows
    ]
    headings = ("generation", "standing", "since", "from", "sha256", "reason")
    out.result(
        {"running": running, "generations": rows},
        *(table(headings, lines) if lines else ["This host has never started."]),
    )


def _diff(source: _Source, args: argparse.Namespace, out: Output) -> None:
    rows = source.rows
    new = args.new or (rows[-1]["number"] if rows else 0)
    good = [each["number"] for each in rows if each["standing"] == "good" and each["number"] < new]
    old = args.old or (good[-1] if good else 0)
    if not old:
        raise NotFoundError(f"There is no good generation before {new}.", hint="Name two generations.")
    lines = list(
        difflib.unified_diff(
            source.text(old).splitlines(),
            source.text(new).splitlines(),
            f"generation {old}",
            f"generation {new}",
            lineterm="",
        )
    )
    out.result({"old": old, "new": new, "diff": lines}, *(lines or ["They are the same."]))


def _tell(generation: dict[str, Any], what: str, source: _Source, out: Output) -> None:
    then = " The host restarts on it." if source.client is not None and what != "is good" else ""
    out.result(generation, f"Generation {generation['number']} ({generation['standing']}) {what}.{then}")
