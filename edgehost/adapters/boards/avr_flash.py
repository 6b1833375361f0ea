"""What the three AVR bootloaders have in common: a page at a time, the first page last, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.domain.errors import ChipMismatchError, FlashFailedError, NoSyncError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase, Segment
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings

Pages = Sequence[tuple[int, bytes]]
_Answer = TypeVar("_Answer")

#: A page is written or read again after an answer that was lost or garbled.
_TRIES: Final = 5
#: A page that was read back wrong is written again so often.
_REPAIRS: Final = 3
_ERASED: Final = b"\xff"
_SHOWN: Final = 8
#: Discharges the capacitor between DTR and RESET, then lets the bootloader begin (avrdude: 250 and 50 ms).
_LOW_S: Final = 0.25
_BOOT_S: Final = 0.05
_OPENINGS: Final = 3
#: What may hold the bootloader's UART; a chip with a USB of its own has none.
_WIRES: Final = {
    "stk500v1": ", and does nothing hang on pins 0 and 1",
    "stk500v2": ", and does nothing hang on pins 0 and 1",
    "avr109": "",
}


class LostAnswerError(Exception):
    """The bootloader did not answer, or not as it should; the same step may be tried again."""


class AvrBootloader(Protocol):
    """One tongue. Every method raises LostAnswerError when the answer does not come."""

    #: What a half-written application must begin with, so that it never runs; b"": pages are written in order.
    guard: bytes

    async def signature(self) -> str:
        """The chip's three bytes in hex."""
        ...

    async def write_page(self, address: int, data: bytes) -> None:
        """Erase and write one page; ``address`` counts bytes."""
        ...

    async def read_page(self, address: int, size: int) -> bytes:
        """The bytes from an address on."""
        ...

    async def recover(self) -> bool:
        """Find the way back into step after a lost answer; False when the last step must not be made again."""
        ...

    async def leave(self) -> None:
        """Start the application."""
        ...


class ReadyBootloader(AvrBootloader, Protocol):
    """One that listens for a while after a reset."""

    async def is_ready(self) -> bool:
        """Whether it answers within the time for which bootloaders listen."""
        ...


async def pulse_reset(line: DeviceLine, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> bool:
    """Reset by DTR and RTS, as USB converters on Arduino boards are wired; False when the line has neither."""
    if not await line.set_signals(dtr=False, rts=False):
        return False
    await pause(_LOW_S)
    await line.set_signals(dtr=True, rts=True)
    await pause(_BOOT_S)
    return True


async def flash_from_reset(
    run: FlashRun,
    lines: DeviceLines,
    bootloader: Callable[[DeviceLine], ReadyBootloader],
    pause: Callable[[float], Awaitable[object]],
    *,
    extra_hint: str = "",
) -> FlashOutcome:
    """Open the line, reset the chip, and flash once its bootloader is ready.

    Each try opens the line anew: that resets a board too, by its DTR, and an emulator or a server behind a socket.

    Raises:
        NoSyncError: no bootloader answers.
    """
    settings = LineSettings(baud=run.job.baud or run.job.board.flash.baud)
    pulsed = False
    for turn in range(_OPENINGS):
        if turn:
            await pause(_LOW_S)
        async with lines.open(run.job.line, settings) as line:
            if not turn:
                run.tell(Phase.CONNECT)
            boot = bootloader(line)
            pulsed = await pulse_reset(line, pause)
            if await boot.is_ready():
                return await flash_pages(run, boot)
    raise no_sync(run.job, pulsed=pulsed, extra=extra_hint)


async def flash_pages(run: FlashRun, boot: AvrBootloader) -> FlashOutcome:
    """Write, verify and start the image of the run's job; the bootloader is in step already."""
    signature = await _named(run, boot)
    pages = _pages(run.job, in_order=not boot.guard)
    total = sum(len(data) for _, data in pages)
    await _write(run, boot, pages, total)
    if run.job.verify:
        await _verify(run, boot, pages, total)
    run.tell(Phase.RESTART)
    await _again(boot, boot.leave, "did not start the application")
    chip = f"{run.job.board.mcu} ({signature})"  # it is the board's, or the flash had ended
    return run.outcome(chip, written=total, verified=run.job.verify)


async def _named(run: FlashRun, boot: AvrBootloader) -> str:
    signature = await _again(boot, boot.signature, "did not say what chip it runs on")
    wanted = run.job.board.flash.signature
    run.tell(Phase.CONNECT, detail=f"signature {signature}")
    if wanted and signature != wanted:
        raise ChipMismatchError(
            f"The board '{run.job.board.id}' has a chip with the signature {wanted}; {signature} answers.",
            hint="Choose the right board, or the line that this one is on.",
        )
    return signature


def _pages(job: FlashJob, *, in_order: bool) -> list[tuple[int, bytes]]:
    flash = job.board.flash
    segments = list(job.image.segments)
    if job.erase_all:
        return _filled(segments, flash.base, flash.base + flash.size, flash.page)
    if in_order:  # the bootloader erases the next page, whichever is written
        return _filled(segments, flash.base, max(segment.end for segment in segments), flash.page)
    return aligned_blocks(segments, block_bytes=flash.page, word_bytes=flash.page)


def _filled(segments: Sequence[Segment], first: int, end: int, page: int) -> list[tuple[int, bytes]]:
    content = bytearray(_ERASED * (-(-(end - first) // page) * page))
    for segment in segments:
        content[segment.address - first : segment.end - first] = segment.data
    return [(first + at, bytes(content[at : at + page])) for at in range(0, len(content), page)]


async def _write(run: FlashRun, boot: AvrBootloader, pages: Pages, total: int) -> None:
    flash = run.job.board.flash
    order = list(pages)
    guard = boot.guard * (flash.page // len(boot.guard)) if boot.guard else b""
    if guard and order and order[0][0] == flash.base:
        order = [(flash.base, guard), *order[1:], order[0]]
    done, extra = 0, len(order) > len(pages)
    run.tell(Phase.WRITE, 0, total)
    for step, (address, data) in enumerate(order):
        await _again(boot, partial(_write_one, run, boot, address, data), _at("writing", address))
        if not (extra and step == 0):
            done += len(data)
            run.tell(Phase.WRITE, done, total)
    run.state = BoardState.WRITTEN


async def _write_one(run: FlashRun, boot: AvrBootloader, address: int, data: bytes) -> None:
    run.state = BoardState.PARTIAL
    await boot.write_page(address, data)


async def _verify(run: FlashRun, boot: AvrBootloader, pages: Pages, total: int) -> None:
    done = 0
    run.tell(Phase.VERIFY, 0, total)
    for address, data in pages:
        there = await _read(boot, address, len(data))
        repairs = _REPAIRS if boot.guard else 0
        while there != data and repairs:  # a page can be written by itself: these protocols have no checksums
            await _again(boot, partial(_write_one, run, boot, address, data), _at("writing", address))
            there = await _read(boot, address, len(data))
            run.state, repairs = BoardState.WRITTEN, repairs - 1
        if there != data:
            at = next(index for index in range(len(data)) if there[index] != data[index])
            raise VerifyFailedError(
                f"At 0x{address + at:x} the board holds {there[at : at + _SHOWN].hex()}, not "
                f"{data[at : at + _SHOWN].hex()}.",
                hint="Flash again at a lower speed (--baud), with a shorter cable or without a hub.",
            )
        done += len(data)
        run.tell(Phase.VERIFY, done, total)


async def _read(boot: AvrBootloader, address: int, size: int) -> bytes:
    return await _again(boot, partial(boot.read_page, address, size), _at("reading", address))


def _at(doing: str, address: int) -> str:
    return f"stopped answering while {doing} 0x{address:x}"


async def _again(boot: AvrBootloader, step: Callable[[], Awaitable[_Answer]], trouble: str) -> _Answer:
    for left in range(_TRIES - 1, -1, -1):
        try:
            return await step()
        except LostAnswerError:
            if left and await boot.recover():
                continue
            break
    raise FlashFailedError(f"The bootloader {trouble}.", hint="Was the board reset or unplugged?")


def no_sync(job: FlashJob, *, pulsed: bool, extra: str = "") -> NoSyncError:
    """Nobody answers: what a person looks at, the likeliest first."""
    flash = job.board.flash
    reset = (
        job.board.recovery or "Press RESET just before the flash begins."
        if pulsed
        else f"{job.line} has no DTR line to reset the board with: press RESET just before the flash begins."
    )
    return NoSyncError(
        f"No bootloader answers on {job.line} at {job.baud or flash.baud} baud.",
        hint=f"{reset} Is it the right line{_WIRES[flash.protocol]}? {extra}".rstrip(),
    )
