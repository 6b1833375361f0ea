"""Flashes that a person orders on the line of a bridged device: in the device's book before the board is touched.

The book says at the host's next start that a flash was cut, so that a board that holds half an image is not taken for
one that is merely silent. It is not written again by itself: who flashed by hand decides. The entry ends when the flash
went well or left the board as it was, when a deployment flashes the device, or when the device answers again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from edgehost.domain.device_firmware import FirmwarePage, FlashByHand
from edgehost.domain.errors import EdgehostError, LineBusyError
from edgehost.domain.signed_document import SignedDocument
from edgehost.usecases.firmware_book import FirmwareBook
from edgehost.usecases.flash_site import known_image
from edgehost.usecases.key_locks import KeyLocks
from edgehost.usecases.write_to_device import WriteToDevice

log = logging.getLogger("edgehost.device")

_MAYBE: Final = "The board may hold neither the old firmware nor the new one."


@dataclass(slots=True)
class FlashesByHand:
    """What was begun by hand on the devices of this host; ``turns`` are those of all who keep a device's page."""

    book: FirmwareBook
    writer: WriteToDevice
    turns: KeyLocks
    _under_way: set[str] = field(default_factory=set)  # devices, in this run of the host

    async def begun(self, line: str, board: str, document: SignedDocument) -> Sequence[str]:
        """The board is about to be touched; the devices that it is, for whoever says how it went.

        A full disk is no reason not to repair a board: it is said in the log.

        Raises:
            LineBusyError: one of them is being flashed by hand already, over a line of whatever name.
        """
        devices = self.writer.on_line(line, board)
        for device in devices:
            self.require_none(device)
        self._under_way.update(devices)
        flash = FlashByHand(known_image(document), line, board, self.writer.clock.now())
        for device in devices:
            await self._keep(device, lambda page: replace(page, by_hand=flash))
        return devices

    def require_none(self, device: str) -> None:
        """Whoever wants to flash the device waits for the person who does.

        Raises:
            LineBusyError: it is being flashed by hand.
        """
        if device in self._under_way:
            raise LineBusyError(f"{device} is being flashed by hand.", hint="Wait until that is done.")

    async def done(self, devices: Sequence[str], document: SignedDocument, content: bytes) -> None:
        """It went well: the image can be brought back, and is no failure any more."""
        with self._ending(devices):
            await self._note_done(devices, document, content)

    async def _note_done(self, devices: Sequence[str], document: SignedDocument, content: bytes) -> None:
        image = known_image(document)
        for device in devices:
            try:
                await self.writer.images.shelf.put(image.digest, content)
            except EdgehostError as error:
                log.warning("%s: %s was flashed and is not on the shelf: %s", device, image.label, error)
                await self._keep(device, lambda page: replace(page, by_hand=None))
                continue
            await self._keep(device, lambda page: page.proved(image))

    async def failed(self, devices: Sequence[str], why: str, *, untouched: bool) -> None:
        """It broke off; ``untouched`` when the board is as it was."""
        with self._ending(devices):
            for device in devices:
                await self._keep(
                    device, lambda page: replace(page, by_hand=None) if untouched else _broken_off(page, why)
                )

    @contextmanager
    def _ending(self, devices: Sequence[str]) -> Iterator[None]:
        """Until its end is on the page it is under way, and was not cut."""
        try:
            yield
        finally:
            self._under_way.difference_update(devices)
            self.writer.moved()  # whoever answers already is over it

    def cut(self, device: str) -> FlashByHand | None:
        """The flash by hand that was cut or broke off and left the device silent; None when there is none."""
        if device in self._under_way or self.writer.is_online(device):
            return None
        return self.book.page(device).by_hand

    def told(self, device: str) -> tuple[str, str]:
        """What is wrong, and what to do; two times "" when nothing is."""
        flash = self.cut(device)
        if flash is None:
            return "", ""
        began = datetime.fromtimestamp(flash.began_at, UTC).isoformat(timespec="seconds")
        how = flash.why or f"was cut with its host. {_MAYBE}"
        where = f" --line {flash.line}" if flash.line else ""
        recovery = self.writer.recovery(device)
        hint = f"Flash it again: edgehost flash {flash.board} --firmware {flash.image.name}@{flash.image.version}{where}."
        label = flash.image.label
        return f"The flash of {label} by hand, begun at {began}, {how}", f"{hint} {recovery}".rstrip()

    async def watch(self) -> None:
        """Until cancelled: a device that answers is in the middle of nothing any more."""
        for device in self.writer.devices.known:
            detail, hint = self.told(device)
            if detail:
                log.warning("%s: %s %s", device, detail, hint)
        while True:
            news = self.writer.news
            for device in self.writer.devices.known:
                if self._is_over(device):
                    await self._keep(device, partial(self._answered, device))
            await news.wait()

    def _answered(self, device: str, page: FirmwarePage) -> FirmwarePage:
        if not self._is_over(device):  # while the turn was waited for, somebody began anew
            return page
        log.info("%s: it answers; the flash by hand that broke off is over.", device)
        return replace(page, by_hand=None)

    def _is_over(self, device: str) -> bool:
        flash = self.book.page(device).by_hand
        return flash is not None and device not in self._under_way and self.writer.is_online(device)

    async def _keep(self, device: str, change: Callable[[FirmwarePage], FirmwarePage]) -> None:
        async with self.turns.held(device):
            try:
                await self.book.keep(device, change(self.book.page(device)))
            except EdgehostError as error:
                log.warning("%s: what was flashed by hand cannot be noted: %s", device, error)


def _broken_off(page: FirmwarePage, why: str) -> FirmwarePage:
    flash = page.by_hand
    return page if flash is None else replace(page, by_hand=replace(flash, why=f"broke off: {why}"))
