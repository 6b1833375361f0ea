"""Programmer for STM32 chips by the UART bootloader in their ROM."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.an3155_chips import FLASH_BASE, chip_of
from edgehost.adapters.boards.an3155_loader import BLOCK, An3155Loader, RefusedByBootloaderError, batches
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.domain.errors import ChipMismatchError, FlashFailedError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from edgehost.ports.programmer import Report

_RESET_S: Final = 0.1
_WORD: Final = 4
_HINT: Final = (
    "Set BOOT0 to 1 and press reset, so that the chip starts its bootloader; TX, RX and ground go to the UART that "
    "AN2606 names for it (USART1: PA9, PA10)."
)
_PROTECTED: Final = "The flash may be write-protected: 'stm32flash -u LINE' lifts that, and resets the chip; then flash again."
_READ_PROTECTED: Final = (
    "Read-out protection is on: 'stm32flash -k LINE' lifts it and erases the whole chip; then flash again."
)


class An3155Programmer:
    """8E1 at the board's baud. ``flash.chip`` is the product id (0x410); reset by DTR, with RTS at BOOT0."""

    protocol: Final = "an3155"

    def __init__(
        self, lines: DeviceLines, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._lines = lines
        self._pause = pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write the image, read it back, start it."""
        run = FlashRun(job, report)
        with run.stating():
            settings = LineSettings(baud=job.baud or job.board.flash.baud, parity="even")
            async with self._lines.open(job.line, settings) as line:
                return await self._flash(run, line)

    async def _flash(self, run: FlashRun, line: DeviceLine) -> FlashOutcome:
        job, loader = run.job, An3155Loader(line)
        run.tell(Phase.CONNECT)
        if job.board.flash.reset == "dtr":
            await self._reset(line, into_bootloader=True)
        await loader.sync(job.line, job.board.recovery or _HINT)
        version = await loader.get()
        product_id = await loader.product_id()
        name = _name(product_id)
        _require_chip(job, product_id)
        run.tell(Phase.CONNECT, detail=f"{name}, bootloader {version}")
        blocks = aligned_blocks(job.image.segments, block_bytes=BLOCK, word_bytes=_WORD)
        total = sum(len(block) for _, block in blocks)
        await _erase(run, loader, product_id, total)
        skipped = await _write(run, loader, blocks, total)
        if job.verify:
            await _verify(run, loader, blocks, total)
        run.tell(Phase.RESTART)
        if job.board.flash.reset != "dtr" or not await self._reset(line, into_bootloader=False):
            with suppress(RefusedByBootloaderError):  # some will not jump: a reset with BOOT0 at 0 starts it
                await loader.go(job.image.segments[0].address)
        return run.outcome(name, written=total - skipped, skipped=skipped, verified=job.verify)

    async def _reset(self, line: DeviceLine, *, into_bootloader: bool) -> bool:
        if not await line.set_signals(rts=into_bootloader, dtr=True):
            return False
        await self._pause(_RESET_S)
        await line.set_signals(dtr=False)
        await self._pause(_RESET_S)
        return True


def _name(product_id: int) -> str:
    chip = chip_of(product_id)
    return f"{chip.name} (0x{product_id:03x})" if chip else f"STM32 0x{product_id:03x}"


def _require_chip(job: FlashJob, product_id: int) -> None:
    wanted = job.board.flash.chip
    if wanted and int(wanted, 16) != product_id:
        raise ChipMismatchError(
            f"The board '{job.board.id}' has the chip {_name(int(wanted, 16))}; {_name(product_id)} answers.",
            hint="Choose the right board, or the line that this one is on.",
        )


async def _erase(run: FlashRun, loader: An3155Loader, product_id: int, total: int) -> None:
    job, chip = run.job, chip_of(product_id)
    run.tell(Phase.ERASE, 0, total)
    if chip is None and not job.erase_all:
        raise FlashFailedError(
            f"How the flash of {_name(product_id)} is divided is not known here.",
            hint="Flash with --erase-all, which erases the whole chip first.",
        )
    pages: list[int] = []
    if chip is not None and not job.erase_all:
        pages = sorted({page for part in job.image.segments for page in chip.pages(part.address, part.end)})
    steps = batches(pages) or [()]  # no page: all of them
    for done, step in enumerate(steps, 1):
        before, run.state = run.state, BoardState.PARTIAL
        try:
            await (loader.erase(step) if step else loader.erase_all())
        except RefusedByBootloaderError as problem:
            run.state = before
            raise FlashFailedError(problem.message, hint=_PROTECTED) from None
        run.tell(Phase.ERASE, total * done // len(steps), total)


async def _write(run: FlashRun, loader: An3155Loader, blocks: Sequence[tuple[int, bytes]], total: int) -> int:
    """Bytes that need no writing, since erased flash holds them."""
    done = skipped = 0
    run.tell(Phase.WRITE, 0, total)
    for address, block in blocks:
        if block.count(0xFF) == len(block) and address >= FLASH_BASE:
            skipped += len(block)
        else:
            try:
                await loader.write(address, block)
            except RefusedByBootloaderError as problem:
                raise FlashFailedError(problem.message, hint=_PROTECTED) from None
        done += len(block)
        run.tell(Phase.WRITE, done, total)
    run.state = BoardState.WRITTEN
    return skipped


async def _verify(
    run: FlashRun, loader: An3155Loader, blocks: Sequence[tuple[int, bytes]], total: int
) -> None:
    done = 0
    run.tell(Phase.VERIFY, 0, total)
    for address, block in blocks:
        try:
            found = await loader.read(address, len(block))
        except RefusedByBootloaderError as problem:
            raise FlashFailedError(problem.message, hint=_READ_PROTECTED) from None
        if found != block:
            at = next(n for n, (a, b) in enumerate(zip(found, block, strict=True)) if a != b)
            run.state = BoardState.PARTIAL
            raise VerifyFailedError(
                f"At 0x{address + at:08x} the flash holds 0x{found[at]:02x}, not 0x{block[at]:02x}.",
                hint="Flash again; if it stays so, the flash is worn or the supply is weak.",
            )
        done += len(block)
        run.tell(Phase.VERIFY, done, total)
