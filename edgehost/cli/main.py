"""The ``edgehost`` command: finds the sub-command and imports only that one.

``--help`` and a mistyped command load nothing but the table of commands.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from edgehost import __version__
from edgehost.cli.command_table import COMMANDS, FAILED, INTERRUPTED, OK, USAGE, help_text

_VALUE_OPTIONS: Final = ("-c", "--config-file")
#: 128 + SIGPIPE, as a shell reports it: whoever read our output has gone.
_BROKEN_PIPE: Final = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _complete_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return _BROKEN_PIPE
    except OSError as problem:  # a disk that is full, under standard output
        _drop_stdout()
        print(f"edgehost: the output cannot be written: {problem.strerror}.", file=sys.stderr)
        return FAILED
    return code


def _dispatch(words: list[str]) -> int:
    leading, name, rest = _split(words)
    if "-h" in leading or "--help" in leading:
        print(help_text())
        return OK
    if "--version" in leading:
        print(f"edgehost {__version__}")
        return OK
    if not name:
        print(help_text(), file=sys.stderr)
        return USAGE
    if name not in COMMANDS:
        from edgehost.domain.suggestion import did_you_mean  # noqa: PLC0415 - only for a mistyped command

        kind = "option" if name.startswith("-") else "command"
        hint = "See 'edgehost --help'." if kind == "option" else did_you_mean(name, COMMANDS)
        print(f"edgehost: there is no {kind} '{name}'. {hint}", file=sys.stderr)
        return USAGE
    from edgehost.cli.run_command import run_command  # noqa: PLC0415 - argparse only when it is needed

    return run_command(name, [*leading, *rest])


def _split(words: list[str]) -> tuple[list[str], str, list[str]]:
    """Options in front of the command, the command, and what follows it."""
    known = {"-h", "--help", "--version", "--json", "--debug"}
    leading: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _VALUE_OPTIONS:
            leading += [word, *rest[:1]]
            rest = rest[1:]
        elif word in known or word.startswith("--config-file="):
            leading.append(word)
        else:
            return leading, word, rest
    return leading, "", []


def _complete_streams() -> None:
    """Started without standard streams, as some supervisors do, Python has None where it would have a file."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no character that a terminal lacks ends a command


def _drop_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe once more when it exits."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file, as under a test
        return
