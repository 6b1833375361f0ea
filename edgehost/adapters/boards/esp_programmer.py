"""Programmer for Espressif's chips, by the loader in their ROM.

The image is written in pieces of 64 KiB. Where the ROM computes MD5, a piece that the flash holds already is left out,
so that a flash that broke off goes on where it was, and a new version writes only what has changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from edgehost.adapters.boards import esp_chips, esp_loader, esp_reset
from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.esp_chips import EspChip, Watchdogs
from edgehost.adapters.boards.esp_errors import no_loader
from edgehost.adapters.boards.esp_image import require_made_for
from edgehost.adapters.boards.esp_loader import PACKET, SECTOR, EspLoader
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.domain.errors import ChipMismatchError, FlashFailedError, NoSyncError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from edgehost.ports.programmer import Report

PIECE: Final = 64 * 1024
_ROM_BAUD: Final = 115_200
_ATTEMPTS: Final = 6
_SYNCS: Final = 4
_SYNC_S: Final = 0.1
_SECURE_DOWNLOAD: Final = 1 << 2
_HINT: Final = "Hold BOOT (IO0), press and release EN (RST), then release BOOT; then try again."


class EspProgrammer:
    """``flash.chip`` is the chip: esp32, esp32s3, esp8266; reset classic, usb-jtag or manual."""

    protocol: Final = "esp"

    def __init__(
        self, lines: DeviceLines, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._lines = lines
        self._pause = pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write what differs, compare the chip's own MD5 of it, start it."""
        run = FlashRun(job, report)
        with run.stating():
            async with self._lines.open(job.line, LineSettings(baud=_ROM_BAUD)) as line:
                return await self._flash(run, line)

    async def _flash(self, run: FlashRun, line: DeviceLine) -> FlashOutcome:
        job, loader = run.job, EspLoader(line)
        run.tell(Phase.CONNECT)
        await self._connect(job, line, loader)
        chip = await _identify(loader)
        _require_chip(job, chip)
        run.tell(Phase.CONNECT, detail=chip.title)
        await self._prepare(run, loader, chip)
        pieces = aligned_blocks(job.image.segments, block_bytes=PIECE, word_bytes=SECTOR)
        total = sum(len(data) for _, data in pieces)
        skipped = await _write(run, loader, chip, pieces, total)
        verified = job.verify and chip.compresses
        if verified:
            await _verify(run, loader, pieces, total)
        elif job.verify:
            run.tell(Phase.VERIFY, detail=f"the ROM of the {chip.title} cannot read its flash: not verified")
        run.tell(Phase.RESTART)
        if not await esp_reset.start(line, job.board.flash.reset, self._pause):
            await loader.begin(esp_loader.FLASH_BEGIN, 0, 0, 0, fifth=chip.takes_encrypted)
            await loader.reboot()
        return run.outcome(chip.title, written=total - skipped, verified=verified, skipped=skipped)

    async def _connect(self, job: FlashJob, line: DeviceLine, loader: EspLoader) -> None:
        for attempt in range(_ATTEMPTS):
            delay_s = esp_reset.DELAYS_S[attempt % len(esp_reset.DELAYS_S)]
            await esp_reset.into_loader(line, job.board.flash.reset, delay_s, self._pause)
            for _ in range(_SYNCS):
                if await loader.sync(_SYNC_S):
                    return
        hint = job.board.recovery or _HINT
        if b"waiting for download" in loader.noise:
            raise NoSyncError(
                "The chip waits for its image, and does not hear.", hint="Check the line to its RX."
            )
        if b"boot:0x" in loader.noise:
            raise NoSyncError("The chip started its firmware instead of its loader.", hint=hint)
        raise no_loader(job.line, hint, was_heard=bool(loader.noise))

    async def _prepare(self, run: FlashRun, loader: EspLoader, chip: EspChip) -> None:
        board, baud = run.job.board, run.job.baud or run.job.board.flash.baud
        if chip.watchdogs is not None and board.flash.reset == "usb-jtag":
            await _calm(loader, chip.watchdogs)
        if not chip.compresses:
            return
        if baud not in (0, _ROM_BAUD):
            await loader.change_baud(baud)
            run.tell(Phase.CONNECT, detail=f"{baud} baud")
        await loader.attach_flash(board.flash_bytes)


async def _calm(loader: EspLoader, registers: Watchdogs) -> None:
    """Over the chip's own USB a reset into the loader leaves both watchdogs running."""
    await loader.write_register(registers.protect, esp_chips.WATCHDOG_KEY)
    await loader.write_register(registers.config, 0)
    await loader.write_register(registers.protect, 0)
    await loader.write_register(registers.super_protect, registers.super_key)
    now = await loader.read_register(registers.super_config)
    await loader.write_register(registers.super_config, now | registers.super_feed)
    await loader.write_register(registers.super_protect, 0)


async def _identify(loader: EspLoader) -> EspChip:
    """What chip answers.

    Raises:
        FlashFailedError: a chip that is not known here, or one that is closed.
    """
    said = await loader.security_info()
    flags, chip_id = said or (0, None)
    if flags & _SECURE_DOWNLOAD:
        raise FlashFailedError(
            "The chip is in secure download mode, which allows no reading.",
            hint="Update it by its own firmware, or with esptool.",
        )
    if chip_id is not None:
        chip, number = esp_chips.by_id(chip_id), chip_id
    else:
        number = await loader.read_register(esp_chips.MAGIC_REGISTER)
        chip = esp_chips.by_magic(number)
    if chip is None:
        raise ChipMismatchError(
            f"A chip answers that is not known here (0x{number:x}).", hint="esptool may know it."
        )
    return chip


def _require_chip(job: FlashJob, chip: EspChip) -> None:
    wanted = job.board.flash.chip
    if wanted and esp_chips.by_name(wanted) != chip:
        raise ChipMismatchError(
            f"The board '{job.board.id}' has the chip {wanted}; {chip.title} answers.",
            hint="Choose the right board, or the line that this one is on.",
        )
    if chip.chip_id is not None:
        require_made_for(job.image, chip.title)


async def _write(
    run: FlashRun, loader: EspLoader, chip: EspChip, pieces: Sequence[tuple[int, bytes]], total: int
) -> int:
    """Bytes that the flash held already."""
    done = skipped = 0
    if run.job.erase_all:
        run.tell(Phase.ERASE, 0, total)
        run.state = BoardState.PARTIAL
        size = run.job.board.flash_bytes
        await loader.begin(esp_loader.FLASH_BEGIN, size, 0, 0, fifth=chip.takes_encrypted)
        run.tell(Phase.ERASE, total, total)
    run.tell(Phase.WRITE, 0, total)
    for address, data in pieces:
        if chip.compresses and await loader.md5(address, len(data)) == _md5(data):
            skipped += len(data)
        else:
            run.state = BoardState.RESUMABLE if chip.compresses else BoardState.PARTIAL
            await _write_piece(run, loader, chip, address, data, done=done, total=total)
        done += len(data)
        run.tell(Phase.WRITE, done, total)
    run.state = BoardState.WRITTEN
    return skipped


async def _write_piece(
    run: FlashRun, loader: EspLoader, chip: EspChip, address: int, data: bytes, *, done: int, total: int
) -> None:
    if chip.compresses:
        sent, begin, command, erased = (
            zlib.compress(data, 9),
            esp_loader.DEFL_BEGIN,
            esp_loader.DEFL_DATA,
            len(data),
        )
    else:
        sent, begin, command = data, esp_loader.FLASH_BEGIN, esp_loader.FLASH_DATA
        erased = _erase_size_for_esp8266(address, len(data))
    packets = [sent[at : at + PACKET] for at in range(0, len(sent), PACKET)]
    await loader.begin(begin, erased, len(packets), address, fifth=chip.takes_encrypted)
    for number, packet in enumerate(packets):
        await loader.packet(command, number, packet)
        run.tell(Phase.WRITE, done + len(data) * number // len(packets), total)


def _erase_size_for_esp8266(address: int, size: int) -> int:
    """Its ROM erases up to twice as much as it is told (described at esptool's ``get_erase_size``): tell it less."""
    sectors = -(-size // SECTOR)
    head = min(16 - address // SECTOR % 16, sectors)
    return (sectors + 1) // 2 * SECTOR if sectors < 2 * head else (sectors - head) * SECTOR


async def _verify(run: FlashRun, loader: EspLoader, pieces: Sequence[tuple[int, bytes]], total: int) -> None:
    done = 0
    run.tell(Phase.VERIFY, 0, total)
    for address, data in pieces:
        if await loader.md5(address, len(data)) != _md5(data):
            run.state = BoardState.RESUMABLE
            raise VerifyFailedError(
                f"The {len(data)} bytes at 0x{address:x} are not what was written, as their MD5 shows.",
                hint="Flash again; if it stays so, the flash chip or the supply is weak.",
            )
        done += len(data)
        run.tell(Phase.VERIFY, done, total)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
