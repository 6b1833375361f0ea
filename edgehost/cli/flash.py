"""Write firmware to a board: a signed image from a remote, through the running host, or a file of your own.

  edgehost flash uno --firmware blinker            the newest version that the host's remotes offer
  edgehost flash uno --firmware blinker@1.2.0
  edgehost flash uno --image blinker.hex --unsigned
  edgehost flash esp32-devkitc --part bootloader=boot.bin --part partitions=table.bin --part app=app.bin --unsigned

Without --line the line is chosen when exactly one leads to the board.

When a board does not answer: 'edgehost boards detect' shows the lines and what may be at their ends; 'edgehost boards
show BOARD' says which button or jumper starts its bootloader; a lower --baud helps where writing breaks off; another
--tool knows other tricks. Nothing is erased before the bootloader has answered and the chip is the board's, and every
failure says in what state it leaves the board.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehost.cli.boards import add_folder
from edgehost.cli.flash_options import add_baud, add_manner
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("board", metavar="BOARD", help="'edgehost boards ls' lists them")
    what = parser.add_argument_group("what to write, one of")
    what.add_argument("--firmware", metavar="NAME[@VERSION]", help="a signed image, from the host's remotes")
    what.add_argument(
        "--image", metavar="FILE", type=Path, help="bin, Intel HEX, ELF or UF2; wants --unsigned"
    )
    what.add_argument(
        "--part",
        metavar="ROLE=FILE",
        action="append",
        default=[],
        help="one of several files: app, bootloader, partitions, or an address such as 0x8000; wants --unsigned",
    )
    what.add_argument("--unsigned", action="store_true", help="the file is not signed, and I trust it")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--line",
        metavar="LINE",
        default="",
        help="/dev/ttyACM0, id:USB-SERIAL-NUMBER, socket://HOST:PORT, rfc2217://HOST:PORT; a folder for UF2",
    )
    add_baud(where)
    add_folder(where)
    add_manner(parser.add_argument_group("how"), dry_run="check everything, touch no device")


def run(args: argparse.Namespace, out: Output) -> int:
    """Flash, and say what was done."""
    given = [bool(args.firmware), args.image is not None, bool(args.part)]
    if sum(given) != 1:
        raise UsageError(
            "say what to write: --firmware NAME, --image FILE --unsigned, or --part ROLE=FILE ..."
        )
    if args.firmware:
        if args.unsigned:
            raise UsageError("--unsigned is for files; --firmware is signed")
        from edgehost.cli.flash_signed import flash_signed  # noqa: PLC0415 - not for --help

        return flash_signed(args, out)
    if not args.unsigned:
        raise UsageError(
            "a file on this disk is signed by nobody, so nothing says who built it or that it is whole: add "
            "--unsigned if you trust it, or publish it ('edgehost firmware publish') and use --firmware"
        )
    from edgehost.cli.flash_file import flash_file  # noqa: PLC0415

    return flash_file(args, out)
