"""Bring a signed image onto a bridged device, see it come back, and otherwise bring back the last good one.

The book (``domain.device_firmware``) is kept before each step: after a loss of power the flash goes on from the stage
that it had reached, a write from its beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from edgehost.domain.device_firmware import Failure, FirmwarePage, FlashStage, FlashUnderWay, KnownImage
from edgehost.domain.errors import ChipMismatchError, DeviceError, EdgehostError, RefusedError
from edgehost.domain.flashing import BoardState
from edgehost.usecases.firmware_book import FirmwareBook
from edgehost.usecases.flash_by_hand import FlashesByHand
from edgehost.usecases.key_locks import KeyLocks
from edgehost.usecases.write_to_device import WriteToDevice

log = logging.getLogger("edgehost.device")

#: Writes of one image that may touch the board before it is given up; flash wears out.
_MOST_WRITES: Final = 3
_UNTOUCHED: Final = frozenset({"", str(BoardState.UNTOUCHED)})


@dataclass(slots=True)
class FlashDevice:
    """One flash at a time for each device."""

    book: FirmwareBook
    writer: WriteToDevice
    by_hand: FlashesByHand = field(init=False)
    _turns: KeyLocks = field(default_factory=KeyLocks)

    def __post_init__(self) -> None:
        """Whoever flashes by hand keeps the same book, in turn with deployments."""
        self.by_hand = FlashesByHand(self.book, self.writer, self._turns)

    async def prepare(self, device: str, image: KnownImage) -> None:
        """Fetch it, check it against the board, and keep it on the shelf; the device is left alone.

        Raises:
            RefusedError: it does not fit. EdgehostError: it cannot be had now.
        """
        with _refusing():
            await self.writer.require_fitting(device, image)
        page = self.book.page(device)
        if page.prepared != image:
            await self.book.keep(device, replace(page, prepared=image))

    async def run(self, device: str, image: KnownImage, deployment: str, *, failed: str = "") -> None:
        """Bring the image onto the device; ``failed`` is the digest of one that misbehaved and makes way for it.

        Raises:
            RefusedError: it did not prove itself there, or cannot be written; what became of the device is said.
            LineBusyError: somebody flashes it by hand.
            EdgehostError: not now; a flash that has begun goes on at the next call, or by ``finish``.
        """
        async with self._turns.held(device):
            self.by_hand.require_none(device)  # what is kept of that flash is not this one's to end
            flash = self.book.page(device).under_way
            if flash is not None:
                try:
                    await self._go_on(device)
                except RefusedError:  # another's flash is over, however it ended
                    if flash.deployment == deployment:
                        raise
            page = self.book.page(device)
            if failed and not page.failure(failed, deployment):
                which = self.book.image(failed)
                label = "It" if which is None else which.label
                page = page.condemned(failed, Failure(f"{label} misbehaved on the device."))
                await self.book.keep(device, page)
            running = self.running(device)
            if running is not None and running.digest == image.digest:
                return
            if why := page.failure(image.digest, deployment):
                raise RefusedError(why)
            await self.prepare(device, image)
            page = self.book.page(device)
            board = self.writer.sites(device).board.id
            await self.book.keep(device, page.begun(image, deployment, running=running, board=board))
            await self._go_on(device)

    async def finish(self, device: str) -> None:
        """Go on with a flash that an earlier run of the host has begun.

        Raises:
            As run.
        """
        async with self._turns.held(device):
            await self._go_on(device)

    def running(self, device: str) -> KnownImage | None:
        """The image that is there, as far as this host brought it and the device says the same of itself."""
        known, said = self.book.page(device).running, self.version(device)
        if known is None or said not in {"", known.version} or self.by_hand.cut(device) is not None:
            return None
        return known

    def version(self, device: str) -> str:
        """What the device said last of its firmware, since this host runs; "" when nothing, or when it is lost."""
        lost = self.book.page(device).lost and not self.writer.is_online(device)
        return "" if lost or self.by_hand.cut(device) else self.writer.version(device)

    # The stages

    async def _go_on(self, device: str) -> None:
        while (flash := self.book.page(device).under_way) is not None:
            if flash.stage in {FlashStage.WRITING, FlashStage.RESTORING}:
                await self._write(device, flash)
            else:
                await self._await(device, flash)

    async def _write(self, device: str, flash: FlashUnderWay) -> None:
        if flash.attempts >= _MOST_WRITES:
            await self._not_written(device, f"{flash.image.label} could not be written.", "")
            return
        await self.book.keep(device, self.book.page(device).tried(flash.attempts + 1))
        try:
            await self.writer.write(device, flash.image)
        except EdgehostError as error:
            await self._broke_off(device, flash, error)
        else:
            after = FlashStage.TRYING if flash.stage is FlashStage.WRITING else FlashStage.RETURNING
            await self.book.keep(device, self.book.page(device).moved_to(after))

    async def _broke_off(self, device: str, flash: FlashUnderWay, error: EdgehostError) -> None:
        """Once it is not known that the board is as it was, the flash goes on, until it is given up."""
        page = self.book.page(device)
        state = str(error.state) if isinstance(error, DeviceError) else ""
        log.warning("%s: the flash of %s broke off: %s", device, flash.image.label, error)
        if state not in _UNTOUCHED:
            if flash.attempts + 1 >= _MOST_WRITES:
                what = f"{flash.image.label} could not be written: {error.message}"
                await self._not_written(device, what, error.hint)
            return
        lasting = isinstance(error, RefusedError | ChipMismatchError)
        if lasting and (flash.attempts or flash.stage is FlashStage.RESTORING):
            await self._not_written(device, f"{flash.image.label}: {error.message}", error.hint)
            return
        if flash.attempts or flash.stage is FlashStage.RESTORING:
            await self.book.keep(device, page.tried(flash.attempts))
            raise error
        await self.book.keep(device, page.ended())
        with _refusing():
            raise error

    async def _not_written(self, device: str, why: str, hint: str) -> None:
        page = self.book.page(device)
        flash = page.under_way
        if flash is None or flash.stage is FlashStage.RESTORING:
            await self._lose(device, page, why if flash is None else f"{flash.why} {why}", hint)
        page = page.condemned(flash.image.digest, Failure(why, flash.deployment))
        await self._restore(device, page, flash.image.digest, why, hint)

    async def _await(self, device: str, flash: FlashUnderWay) -> None:
        """The device must come back, and say that it runs what was written."""
        within_s = self.writer.back_within_s(device)
        identity = await self.writer.came_back(device, within_s)
        page, label = self.book.page(device), flash.image.label
        if identity is not None and identity.firmware == flash.image.version:
            if flash.stage is FlashStage.TRYING:
                await self.book.keep(device, page.proved(flash.image))
                log.info("%s: runs firmware %s.", device, label)
                return
            await self._give_up(device, page, f"{flash.why} {label} runs again.", running=flash.image)
        why = f"{label} did not come back within {within_s:g} s."
        if identity is not None:
            why = f"{label} was written, and the device says that it runs {identity.firmware}."
        if flash.stage is FlashStage.RETURNING:
            await self._lose(device, page, f"{flash.why} {why}", "")
        page = page.condemned(flash.image.digest, Failure(why))
        await self._restore(device, page, flash.image.digest, why, "")

    async def _restore(self, device: str, page: FirmwarePage, failing: str, why: str, hint: str) -> None:
        """Bring back what ran before; where that is not known, the new one stays if it answers."""
        good = page.running
        if good is not None and good.digest not in page.failed:
            moved = page.moved_to(FlashStage.RESTORING, image=good, failing=failing, why=why)
            await self.book.keep(device, moved)
            return
        if self.writer.is_online(device):
            stays = "The image before is not known to this host, so it stays as it is."
            await self._give_up(device, page, f"{why} {stays}", running=None)
        await self._lose(device, page, why, hint)

    async def _lose(self, device: str, page: FirmwarePage, why: str, hint: str) -> NoReturn:
        """Neither answers: a person is needed."""
        recovery = self.writer.recovery(device)
        parts = [why, "The device needs a person.", hint, "" if recovery in hint else recovery]
        lost = " ".join(part for part in parts if part)
        log.error("%s: %s", device, lost)
        await self._give_up(device, page, lost, running=None, lost=lost)

    async def _give_up(self, device: str, page: FirmwarePage, why: str, **changes: Any) -> NoReturn:  # noqa: ANN401 - fields
        """The flash is over; what became of it is noted with the image that failed."""
        flash = page.under_way
        failing = "" if flash is None else flash.failing or flash.image.digest
        failure = page.failed.get(failing)
        if failure is not None:
            page = page.condemned(failing, replace(failure, reason=why))
        await self.book.keep(device, page.ended(**changes))
        raise RefusedError(why)


@contextmanager
def _refusing() -> Iterator[None]:
    """An image for another chip is as lasting a refusal as one that is too large."""
    try:
        yield
    except ChipMismatchError as error:
        raise RefusedError(error.message, hint=error.hint) from error
