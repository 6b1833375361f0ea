"""Show the whole life of a component on this machine's own readings, in under a minute.

A broker, a fleet's keys and a host are set up in a folder of their own and taken down again. With --keep they
stay until Ctrl-C, with their addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.output import Output
from edgehost.domain.errors import NotFoundError

_LEAST_RELEASES: Final = 5  # below this a median says little


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--keep", action="store_true", help="leave broker and host running until Ctrl-C")
    parser.add_argument(
        "--broker", choices=("mosquitto", "amqtt"), help="default: mosquitto where it is installed"
    )
    parser.add_argument("--folder", metavar="DIR", help="where to work; default: a temporary folder")
    parser.add_argument(
        "--releases", metavar="N", type=int, default=_LEAST_RELEASES, help="timed releases of about 50 KB"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Tell the story; the exit code says whether every promise held."""
    from edgehost.cli.demo_story import tell_story  # noqa: PLC0415 - the whole host's libraries, only for this command

    with ExitStack() as stack:
        if args.folder:
            folder = Path(args.folder).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgehost-demo-")))
        if any(folder.iterdir()):
            raise NotFoundError(f"{folder} is not empty.", hint="Name an empty or a new folder.")
        figures = asyncio.run(
            tell_story(
                folder,
                out,
                broker_kind=args.broker,
                releases=max(args.releases, _LEAST_RELEASES),
                keep=args.keep,
            )
        )
    out.result(figures.document(), *figures.lines())
    return OK if figures.all_held() else FAILED
