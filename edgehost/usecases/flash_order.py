"""An order to flash, as it comes over the API or in a command: read strictly, and the firmware that it means found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import semver

from edgehost.domain.board import ALL_TOOLS, Board
from edgehost.domain.errors import ChipMismatchError, NotFoundError, RefusedError
from edgehost.domain.names import NAME
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.remote import Remote

_LONGEST_LINE = 200
_MOST_BAUD = 8_000_000


@dataclass(frozen=True, slots=True)
class FlashOrder:
    """What is to be written where."""

    board: str
    firmware: str
    version: str = ""
    line: str = ""
    baud: int = 0
    verify: bool = True
    erase_all: bool = False
    tool: str = ""
    dry_run: bool = False


def read_flash_order(order: Mapping[str, Any]) -> FlashOrder:
    """The order in a JSON object.

    Raises:
        RefusedError: a key is missing, wrong or unknown.
    """
    table = SpecReader(order, error=RefusedError)
    read = FlashOrder(
        board=table.text("board", pattern=NAME),
        firmware=table.text("firmware", pattern=NAME),
        version=table.text("version", default=""),
        line=table.text("line", default="", longest=_LONGEST_LINE),
        baud=table.whole("baud", least=0, most=_MOST_BAUD, default=0),
        verify=table.flag("verify", default=True),
        erase_all=table.flag("erase_all", default=False),
        tool=table.choice("tool", ("", *ALL_TOOLS), default=""),
        dry_run=table.flag("dry_run", default=False),
    )
    table.refuse_unknown()
    return read


def offered_firmware(remotes: Iterable[Remote]) -> list[tuple[Remote, SignedDocument]]:
    """What the remotes' last checks found."""
    return [
        (remote, document)
        for remote in remotes
        for document in remote.documents()
        if document.kind is DocumentKind.FIRMWARE
    ]


def choose_firmware(
    remotes: Sequence[Remote], name: str, version: str, board: Board
) -> tuple[Remote, SignedDocument]:
    """The firmware of this name: the version that is named, else the newest.

    Raises:
        NotFoundError: no remote offers it.
        ChipMismatchError: it is signed for other boards.
    """
    offers = offered_firmware(remotes)
    named = [each for each in offers if each[1].name == name]
    if not named:
        hint = did_you_mean(name, {each.name for _, each in offers})
        raise NotFoundError(
            f"No remote offers firmware '{name}'.",
            hint=hint or "None is on offer at all: 'edgehost firmware publish' brings one to a remote.",
        )
    fitting = [each for each in named if version in ("", each[1].version)]
    if not fitting:
        versions = ", ".join(sorted({each.version for _, each in named}))
        raise NotFoundError(f"No remote offers '{name}' {version}.", hint=f"On offer: {versions}.")
    remote, document = max(
        fitting, key=lambda each: (semver.Version.parse(each[1].version), each[1].sequence)
    )
    boards = document.about.get("board", "").split()
    if board.id not in boards:
        raise ChipMismatchError(
            f"Firmware '{name}' {document.version} is signed for {' and '.join(boards) or 'no board'}, not '{board.id}'.",
            hint="Publish it for this board too: edgehost firmware publish --board ...",
        )
    return remote, document
