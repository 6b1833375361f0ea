"""The boards that are known: listed, shown with the source of every fact, and guessed from what is plugged in."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import boards_folder
from edgehost.cli.output import Output, size, table
from edgehost.domain.board import Board


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_folder(verbs.add_parser("ls", help="every board"))
    show = verbs.add_parser("show", help="one board, with the source of each fact")
    show.add_argument("board", metavar="BOARD")
    add_folder(show)
    add_folder(verbs.add_parser("detect", help="the lines of this machine, and what may be at their ends"))


def add_folder(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """``--boards``, for every command that knows boards."""
    parser.add_argument(
        "--boards",
        metavar="DIR",
        type=Path,
        help="a folder with boards of your own, which add to ours or replace them; default: [boards] folder",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.composition.boards import make_catalog  # noqa: PLC0415 - not for --help

    catalog = make_catalog(args.boards or boards_folder(args))
    if args.verb == "ls":
        _list(catalog.all(), out)
    elif args.verb == "show":
        _show(catalog.get(args.board), out)
    else:
        from edgehost.cli.board_guesses import show_guesses  # noqa: PLC0415

        asyncio.run(show_guesses(catalog, out))
    return OK


def _list(boards: Sequence[Board], out: Output) -> None:
    if out.as_json:
        from boards.board_file import board_document  # noqa: PLC0415

        out.result({"boards": [board_document(board) for board in boards]})
        return
    rows = [
        (
            board.id,
            board.mcu,
            size(board.flash_bytes),
            size(board.ram_bytes),
            board.flash.protocol,
            " ".join(str(usb) for usb in board.usb_ids[:2]) or "-",
            board.name,
        )
        for board in boards
    ]
    out.result({}, *table(("board", "chip", "flash", "ram", "protocol", "usb", "name"), rows))


def _show(board: Board, out: Output) -> None:
    from boards.board_file import board_document  # noqa: PLC0415

    document = board_document(board)
    sources = document.pop("sources")
    lines = [f"{board.id}: {board.name}", ""]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [
                _fact(f"{key}.{name}", item, sources) for name, item in value.items() if _is_given(item)
            ]
        elif key not in ("id", "name", "recovery") and _is_given(value):
            lines.append(_fact(key, value, sources))
    if board.recovery:
        lines += ["", f"When it no longer answers: {board.recovery}"]
    out.result({**document, "sources": sources}, *lines)


def _is_given(value: object) -> bool:
    return value not in ("", 0, [], (), {}, None, False)


def _fact(key: str, value: object, sources: dict[str, str]) -> str:
    if key in ("flash.base", "flash.uf2_family") and isinstance(value, int):
        value = f"0x{value:x}"
    elif key == "flash.reserved" and isinstance(value, list | tuple):
        value = ", ".join(f"0x{first:x} ({count} bytes)" for first, count in value)
    elif key == "flash.offsets" and isinstance(value, dict):
        value = ", ".join(f"{role} 0x{address:x}" for role, address in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    source = sources.get(key) or next(
        (said for name, said in sources.items() if name.startswith(f"{key}.")), "default"
    )
    return f"  {key:<18} {value!s:<28} {source}"
