"""Parses one sub-command's line, runs it, and turns what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import remotes.lean_shutil  # noqa: F401 - before argparse imports shutil
from edgehost.cli.command_table import (
    CHIP_MISMATCH,
    COMMANDS,
    FAILED,
    FLASH_FAILED,
    LINE_BUSY,
    NO_LINE,
    NO_SYNC,
    NOT_FOUND,
    TIMED_OUT,
    UNREACHABLE,
    USAGE,
    VERIFY_FAILED,
    exit_code_lines,
)
from edgehost.cli.output import Output, one_line
from edgehost.cli.problems import first_problem
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import (
    ChipMismatchError,
    DeadlineExceededError,
    DeviceError,
    EdgehostError,
    GuestError,
    LineBusyError,
    LineDeniedError,
    NoLineError,
    NoSyncError,
    NotFoundError,
    UnavailableError,
    VerifyFailedError,
)


class CommandModule(Protocol):
    """What each ``edgehost/cli/NAME.py`` has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what the command takes."""

    def run(self, args: argparse.Namespace, out: Output) -> int:
        """Do it; returns the exit code."""


class _Verbs(argparse._SubParsersAction):  # type: ignore[type-arg]  # noqa: SLF001 - argparse has no other name for it
    """The help of a verb begins with what its command's help says of it."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - as argparse
        if summary := options.get("help"):
            options.setdefault("description", f"{summary[0].upper()}{summary[1:]}.")
        parser: argparse.ArgumentParser = super().add_parser(name, **options)
        return parser


class _Parser(argparse.ArgumentParser):
    """Errors as everywhere else, in one line."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse
        super().__init__(*args, **options)
        self.register("action", "parsers", _Verbs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See '{self.prog} --help'.")


def run_command(name: str, words: Sequence[str]) -> int:
    """Run ``edgehost NAME WORDS``."""
    out = Output(as_json="--json" in words)
    try:
        loaded: Any = importlib.import_module(f"edgehost.cli.{name.replace('-', '_')}")
        module: CommandModule = loaded
        parser = _parser(name, module)
        return module.run(parser.parse_args(_common_first(words)), out)
    except SystemExit as exit_request:  # argparse has printed its help
        return exit_request.code if isinstance(exit_request.code, int) else USAGE
    except UsageError as problem:
        out.error("usage", str(problem))
        return USAGE
    except BrokenPipeError:
        raise
    except Exception as problem:
        if "--debug" in words:
            raise
        return report(problem, out)


def _common_first(words: Sequence[str]) -> list[str]:
    """The line with the common options in front, where the parser takes them whatever the verb after them is."""
    common: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word in {"-c", "--config-file"}:
            common += [word, *itertools.islice(left, 1)]
        elif word in {"--json", "--debug"} or word.startswith("--config-file="):
            common.append(word)
        else:
            rest.append(word)
    return [*common, *rest]


def _parser(name: str, module: CommandModule) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"edgehost {name}",
        description=(module.__doc__ or COMMANDS[name].summary).strip(),
        epilog=exit_code_lines(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    common = parser.add_argument_group("common options")
    common.add_argument(
        "-c",
        "--config-file",
        metavar="FILE",
        default=os.environ.get("EDGEHOST_CONFIG", ""),
        help="default: $EDGEHOST_CONFIG, else ./edgehost.toml",
    )
    common.add_argument("--json", action="store_true", help="JSON on standard output, errors as JSON too")
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def report(caught: Exception, out: Output) -> int:  # noqa: PLR0911 - one return for each kind of error
    """One sentence for what went wrong; returns the exit code."""
    problem = first_problem(caught)
    match problem:
        case GuestError() if not out.as_json:
            out.error(problem.code, one_line(problem.message), problem.hint)
            return _exit_code(problem)
        case EdgehostError():
            out.error(problem.code, problem.message, problem.hint)
            return _exit_code(problem)
        case TimeoutError():
            out.error("timed-out", str(problem) or "No answer within the deadline.")
            return TIMED_OUT
        case FileNotFoundError():
            out.error("not-found", f"{problem.strerror}: {problem.filename}.")
            return NOT_FOUND
        case OSError():
            where = f": {problem.filename}" if problem.filename else ""
            out.error("system", f"{problem.strerror or problem}{where}.")
            return FAILED
        case ModuleNotFoundError():
            out.error(
                "not-installed",
                f"This needs the Python package '{problem.name}', which is not installed.",
                "Install edgehost with the extra that brings it, such as 'pip install edgehost[demo]'.",
            )
            return FAILED
        case _:
            out.error(
                "internal",
                f"Something that should not happen did: {type(problem).__name__}: {problem}.",
                "Run it again with --debug to see where.",
            )
            return FAILED


def _exit_code(problem: EdgehostError) -> int:
    match problem:
        case DeviceError():
            return _device_exit_code(problem)
        case NoLineError():
            return NO_LINE
        case DeadlineExceededError():
            return TIMED_OUT
        case NotFoundError():
            return NOT_FOUND
        case UnavailableError():
            return UNREACHABLE
        case _:
            return FAILED


def _device_exit_code(problem: DeviceError) -> int:
    match problem:
        case LineBusyError() | LineDeniedError():
            return LINE_BUSY
        case NoSyncError():
            return NO_SYNC
        case ChipMismatchError():
            return CHIP_MISMATCH
        case VerifyFailedError():
            return VERIFY_FAILED
        case _:
            return FLASH_FAILED
