"""Where and how a device of this host is flashed, and the signed images for it, whole and checked on the shelf."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgehost.domain.board import OVER_UART, Board
from edgehost.domain.device_firmware import KnownImage
from edgehost.domain.errors import DamagedError, NotFoundError, RemoteUnreachableError
from edgehost.domain.flashing import FirmwareImage, FlashJob
from edgehost.domain.signed_document import SignedDocument
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.ports.device_line import DeviceLines
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.ports.remote import Remote
from edgehost.usecases.choose_line import choose_line
from edgehost.usecases.flash_board import FlashBoard, FlashPlan
from edgehost.usecases.flash_order import offered_firmware


@dataclass(frozen=True, slots=True)
class FlashSite:
    """One device: what board it is, and over which line it is flashed."""

    board: Board
    line: str  # as the configuration has it: a path, a URL, id:SERIAL, a drive's folder
    back_within_s: float  # after a flash it must have answered


class FlashSites(Protocol):
    """Knows the sites of a host."""

    def __call__(self, device: str, /) -> FlashSite:
        """The site of a device.

        Raises:
            NotFoundError: what board it is, is not known (yet), or the catalogue has no such board.
        """
        ...


@dataclass(slots=True)
class SignedImages:
    """Fetched once, kept by digest, and checked against the board before each flash."""

    remotes: Callable[[], Sequence[Remote]]
    shelf: ReleaseShelf
    parse: Callable[[str, bytes, Board, str], FirmwareImage]  # name, content, board, version
    lines: DeviceLines
    catalog: Callable[[], BoardCatalog]
    flasher: FlashBoard

    def offered(self) -> list[tuple[Remote, SignedDocument]]:
        """What the remotes' last checks found."""
        return offered_firmware(self.remotes())

    async def content(self, image: KnownImage) -> bytes:
        """The file, its digest checked; fetched when the shelf does not have it.

        Raises:
            RemoteUnreachableError: nobody offers it now.
            UntrustedReleaseError, StorageFullError: as the remote and the shelf.
        """
        if await self.shelf.has(image.digest):
            try:
                return await self.shelf.get(image.digest)
            except (NotFoundError, DamagedError):
                pass  # it is fetched again
        for remote, document in self.offered():
            if document.digest == image.digest:
                content = await remote.fetch(document)
                await self.shelf.put(image.digest, content)
                return content
        raise RemoteUnreachableError(
            f"{image.label} is not on the shelf, and no remote offers it now.",
            hint="It is fetched once a remote has it again.",
        )

    async def checked(self, image: KnownImage, site: FlashSite, line: str) -> FlashPlan:
        """The flash as it would be over this line; nothing is touched.

        Raises:
            InvalidImageError, TooLargeError, ChipMismatchError, RefusedError: it does not fit the board.
            LineBusyError: the line is being flashed. As ``content``.
        """
        content, board = await self.content(image), site.board
        parsed = await asyncio.to_thread(self.parse, image.name, content, board, image.version)
        return self.flasher.plan(FlashJob(board, parsed, line))

    async def line_of(self, site: FlashSite) -> str:
        """The line to flash over.

        Raises:
            NoLineError: none leads there now.
        """
        return choose_line(site.board, await self.lines.found(), self.catalog(), site.line)


def flash_line(board: Board, bridge_line: str, own_line: str) -> str:
    """What is wanted as the line: the configured one, else the bridge's where the board is flashed over a line."""
    if own_line:
        return own_line
    over_line = board.flash.protocol in OVER_UART or board.flash.reset == "touch1200"
    return bridge_line if over_line else ""


def known_image(document: SignedDocument) -> KnownImage:
    """What is noted of a signed image."""
    return KnownImage(
        document.name, document.version, document.digest, document.sequence, document.size_bytes
    )
