"""Flashes a file of this disk, in this process."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgehost.adapters.boards.image_files import parse_image, parse_parts, read_file
from edgehost.cli.command_table import OK
from edgehost.cli.flash_progress import FlashView, outcome_document
from edgehost.cli.host_config import boards_folder
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.composition.boards import make_catalog, make_flash_board, make_lines
from edgehost.domain.board import Board
from edgehost.domain.errors import DeviceError
from edgehost.domain.flashing import FirmwareImage, FlashJob
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.usecases.choose_line import choose_line
from edgehost.usecases.flash_board import plan_document


def flash_file(args: argparse.Namespace, out: Output) -> int:
    """Check, show the plan, write, and say how it went."""
    catalog = make_catalog(args.boards or boards_folder(args))
    board = catalog.get(args.board)
    image = _image(args, board)
    return asyncio.run(
        _flash(
            args,
            out,
            catalog,
            FlashJob(board, image, args.line, not args.no_verify, args.baud, args.erase_all, args.tool),
        )
    )


async def _flash(args: argparse.Namespace, out: Output, catalog: BoardCatalog, wanted: FlashJob) -> int:
    lines = make_lines()
    flasher = make_flash_board(lines)
    # The image is judged before a line is looked for: what is wrong with it is wrong with no board plugged in too.
    flasher.plan(wanted)
    line = choose_line(wanted.board, await lines.found(), catalog, args.line)
    plan = flasher.plan(replace(wanted, line=line))
    view = FlashView(out)
    view.plan(plan_document(plan))
    if args.dry_run:
        view.note("Nothing was touched: this was a dry run.")
        return OK
    with view:
        try:
            outcome = await flasher.run(plan, view.report)
        except DeviceError as problem:
            view.failed(problem.state)
            raise
        except asyncio.CancelledError:
            view.interrupted()
            raise
    view.done(outcome_document(outcome))
    return OK


def _image(args: argparse.Namespace, board: Board) -> FirmwareImage:
    if args.image is not None:
        return parse_image(args.image.name, read_file(args.image.expanduser()), board)
    return parse_parts(_parts(args.part), board)


def _parts(words: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    parts: dict[str, tuple[str, bytes]] = {}
    for word in words:
        role, _, name = word.partition("=")
        if not role or not name:
            raise UsageError(f"'{word}' is no ROLE=FILE")
        if role in parts:
            raise UsageError(f"there are two parts '{role}'")
        path = Path(name).expanduser()
        parts[role] = (path.name, read_file(path))
    return parts
