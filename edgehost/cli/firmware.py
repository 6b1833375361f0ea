"""Firmware of boards as signed targets: published like components, and flashed by 'edgehost flash BOARD --firmware NAME'.

edgehost firmware publish fleet blinker.hex --board uno --version 1.2.0 --key keys/online.key --to mqtt://localhost/fleet
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.command_table import OK
from edgehost.cli.host_config import boards_folder, host_client
from edgehost.cli.output import Output, size, table
from edgehost.cli.publishing_arguments import add_online_keys, add_targets

_KEEP: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    from edgehost.cli.boards import add_folder  # noqa: PLC0415 - only for this command's parser

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("ls", help="what the running host's remotes offer")
    publish = verbs.add_parser("publish", help="sign an image as the newest of its name")
    publish.add_argument("folder", metavar="REPOSITORY", help="folder that 'edgehost remote init' made")
    publish.add_argument("image", metavar="FILE", type=Path, help="bin, Intel HEX, ELF or UF2")
    publish.add_argument(
        "--board", metavar="BOARD", action="append", required=True, help="that it is for; may be repeated"
    )
    publish.add_argument("--version", metavar="VERSION", required=True, help="a semantic version")
    publish.add_argument(
        "--name", metavar="NAME", default="", help="default: the file's name without its ending"
    )
    add_online_keys(publish)
    add_targets(publish)
    publish.add_argument(
        "--keep", metavar="N", type=int, default=_KEEP, help=f"versions of it on offer; default {_KEEP}"
    )
    add_folder(publish)


def run(args: argparse.Namespace, out: Output) -> int:
    """Publish, or list what is on offer."""
    return _publish(args, out) if args.verb == "publish" else _list(args, out)


def _list(args: argparse.Namespace, out: Output) -> int:
    offers = host_client(args).control("GET", "firmware")["firmware"]
    rows = [
        (each["name"], each["version"], " ".join(each["boards"]), size(each["size_bytes"]), each["remote"])
        for each in offers
    ]
    lines = (
        table(("name", "version", "boards", "size", "remote"), rows)
        if rows
        else ["No remote offers firmware."]
    )
    out.result({"firmware": offers}, *lines)
    return OK


def _publish(args: argparse.Namespace, out: Output) -> int:
    from edgehost.adapters.boards.image_files import parse_image, read_file  # noqa: PLC0415 - not for --help
    from edgehost.cli.mirror_targets import mirror_to_all, mirrored_lines, read_target  # noqa: PLC0415 - likewise
    from edgehost.cli.signing_keys import require_private, signers  # noqa: PLC0415 - likewise
    from edgehost.composition.boards import make_catalog  # noqa: PLC0415 - likewise
    from edgehost.domain.image_checks import check_image  # noqa: PLC0415 - likewise
    from edgehost.domain.signed_document import DocumentKind  # noqa: PLC0415 - likewise
    from remotes.document_publisher import document_row, publish_document  # noqa: PLC0415 - likewise

    folder = Path(args.folder).expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    content = read_file(args.image.expanduser())
    catalog = make_catalog(args.boards or boards_folder(args))
    notes: list[str] = []
    form = ""
    for name in args.board:  # it fits all of them before it is signed for one
        board = catalog.get(name)
        image = parse_image(args.image.name, content, board, version=args.version)
        notes += [note for note in check_image(image, board) if note not in notes]
        form = image.format
    published = publish_document(
        folder,
        DocumentKind.FIRMWARE,
        args.name or args.image.stem.lower(),
        content,
        version=args.version,
        about={"board": " ".join(args.board), "format": form},
        signers=signers(require_private(args.key)),
        keep=args.keep,
        now=SystemClock().now(),
    )
    mirrored = asyncio.run(
        mirror_to_all(folder, targets, out, fresh=published.fresh, before=published.before)
    )
    document = published.document
    if document is None:
        raise AssertionError("what was published is told")
    row = document_row(document)
    out.result(
        {
            "published": row,
            "mirrored": {target: asdict(counts) for target, counts in mirrored.items()},
            "notes": notes,
        },
        f"Signed firmware {document.name} {document.version} for {' and '.join(args.board)}: "
        f"{size(document.size_bytes)}, sha256 {document.digest}.",
        *(f"Note: {note}" for note in notes),
        *mirrored_lines(mirrored),
    )
    return OK
