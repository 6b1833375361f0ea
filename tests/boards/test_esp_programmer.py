"""Espressif's loader: on the mock that others wrote, with esptool as the judge; reset sequences on a recorded line."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from esptool.targets import CHIP_DEFS

from edgehost.adapters.boards import esp_reset
from edgehost.adapters.boards.esp_chips import CHIPS
from edgehost.adapters.boards.esp_loader import SECURITY_INFO, SYNC, slip, unslip
from edgehost.adapters.boards.esp_programmer import PIECE, EspProgrammer
from edgehost.adapters.boards.esptool_output import EsptoolOutput, failure_of
from edgehost.adapters.boards.esptool_programmer import EsptoolProgrammer
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.tool_process import ToolEnd
from edgehost.domain.board import FlashFacts
from edgehost.domain.errors import (
    ChipMismatchError,
    DeviceError,
    EdgehostError,
    FlashFailedError,
    LineLostError,
    NoLineError,
    NoSyncError,
    UnavailableError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, FlashProgress, Phase
from tests.boards.esp_bench import FLASH_BYTES, EspMock
from tests.boards.programmer_bench import Reports, TcpDevice, some_board, some_bytes, some_image

APP = some_bytes(5 * PIECE)


@contextmanager
def mock_of(chip: str) -> Iterator[EspMock]:
    mock = EspMock(chip)
    try:
        yield mock
    finally:
        mock.close()


def job_on(line: str, chip: str, *parts: tuple[int, bytes], reset: str = "manual") -> FlashJob:
    facts = FlashFacts("esp", baud=460_800, size=FLASH_BYTES, chip=chip, reset=reset)
    return FlashJob(
        some_board(facts, flash_bytes=FLASH_BYTES), some_image(*(parts or ((0x10000, APP),))), line
    )


def programmer() -> EspProgrammer:
    return EspProgrammer(SerialLines())


@pytest.mark.parametrize("chip", [chip.name for chip in CHIPS])
async def test_each_chip_is_known_by_what_its_rom_says(chip: str) -> None:
    with mock_of(chip) as mock:
        outcome = await programmer().flash(job_on(mock.line, chip.upper(), (0, b"\xe9" * 5000)), Reports())
        assert bytes(mock.flash.data[:5000]) == b"\xe9" * 5000
    assert outcome.chip == CHIP_DEFS[chip].CHIP_NAME
    assert outcome.verified == (chip != "esp8266")


def test_chips_are_as_esptool_knows_them() -> None:
    for chip in CHIPS:
        rom = CHIP_DEFS[chip.name]
        assert chip.chip_id == getattr(rom, "IMAGE_CHIP_ID", None)
        assert chip.magic == (rom.MAGIC_VALUE if rom.USES_MAGIC_VALUE else None)
        if chip.watchdogs is not None:
            assert chip.watchdogs.config == rom.RTC_CNTL_WDTCONFIG0_REG
            assert chip.watchdogs.protect == rom.RTC_CNTL_WDTWPROTECT_REG
            assert chip.watchdogs.super_config == rom.RTC_CNTL_SWD_CONF_REG
            assert chip.watchdogs.super_protect == rom.RTC_CNTL_SWD_WPROTECT_REG
            assert chip.watchdogs.super_key == rom.RTC_CNTL_SWD_WKEY
            assert chip.watchdogs.super_feed == rom.RTC_CNTL_SWD_AUTO_FEED_EN


async def test_esptool_reads_what_we_have_written(tmp_path: Path) -> None:
    with mock_of("esp32s3") as mock:
        await programmer().flash(job_on(mock.line, "esp32s3"), Reports())
        file = tmp_path / "read.bin"
        command = [
            sys.executable,
            "-m",
            "esptool",
            "--chip",
            "esp32s3",
            "--port",
            mock.line,
            "--after",
            "no-reset",
            "--no-stub",  # the mock's stub now and then breaks off in the middle of a reading
        ]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "read-flash", "0x10000", str(len(APP)), str(file)],
            check=False,
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert file.read_bytes() == APP


async def test_a_flash_that_broke_off_goes_on_where_it_was() -> None:
    with mock_of("esp32") as mock:

        def cut(progress: FlashProgress) -> None:
            if progress.phase is Phase.WRITE and progress.done >= 3 * PIECE:
                mock.cut_power()

        with pytest.raises(DeviceError, match="goes on where this one ended") as caught:
            await programmer().flash(job_on(mock.line, "esp32"), Reports(cut))
        assert caught.value.state == BoardState.RESUMABLE
        outcome = await programmer().flash(job_on(mock.line, "esp32"), Reports())
        assert outcome.skipped_bytes == 3 * PIECE
        assert outcome.written_bytes == 2 * PIECE
        changed = bytearray(APP)
        changed[4 * PIECE + 7] ^= 1
        outcome = await programmer().flash(job_on(mock.line, "esp32", (0x10000, bytes(changed))), Reports())
        assert outcome.written_bytes == PIECE


async def test_esptool_leaves_out_what_the_flash_holds_and_says_what_it_has_verified() -> None:
    with mock_of("esp32s3") as mock:
        esptool = EsptoolProgrammer(SerialLines())
        first, reports = await esptool.flash(job_on(mock.line, "esp32s3"), Reports()), Reports()
        assert (first.chip, first.written_bytes, first.verified) == ("ESP32-S3", 5 * PIECE, True)
        changed = bytearray(APP)
        changed[4 * PIECE + 7] ^= 1
        outcome = await esptool.flash(job_on(mock.line, "esp32s3", (0x10000, bytes(changed))), reports)
        assert (outcome.written_bytes, outcome.skipped_bytes, outcome.verified) == (PIECE, 4 * PIECE, True)
        assert bytes(mock.flash.data[0x10000 : 0x10000 + len(APP)]) == changed
    assert any(4 * PIECE < each.done < 5 * PIECE for each in reports if each.phase is Phase.WRITE)


async def test_esptool_erases_everything_when_asked_and_says_so() -> None:
    with mock_of("esp32c6") as mock:
        mock.flash.data[0x3F0000:0x3F0004] = b"left"
        reports = Reports()
        job = replace(job_on(mock.line, "esp32c6"), erase_all=True)
        await EsptoolProgrammer(SerialLines()).flash(job, reports)
        assert bytes(mock.flash.data[0x3F0000:0x3F0004]) == b"\xff" * 4
    phases = [report.phase for report in reports]
    assert phases.index(Phase.ERASE) < phases.index(Phase.WRITE)


async def test_esptool_on_a_line_that_cannot_reset_says_that_the_board_waits_for_a_hand() -> None:
    with mock_of("esp32") as mock:
        for reset in ("manual", "classic"):  # a TCP socket has no modem lines, whatever the board's file says
            job = job_on(mock.line, "esp32", (0x10000, b"\xe9" * 5000), reset=reset)
            reports = Reports()
            (note,) = (await EsptoolProgrammer(SerialLines()).flash(job, reports)).notes
            assert "press EN (RST)" in note
            assert Phase.RESTART not in {each.phase for each in reports}
            assert not (await programmer().flash(job, Reports())).notes  # the ROM's loader starts it


def test_a_terminal_without_modem_lines_is_known_by_what_esptool_says() -> None:
    output = EsptoolOutput(FlashRun(job_on("/dev/pts/9", "esp32"), Reports()), ())
    assert output.was_reset
    output.take("Warning: Chip was NOT reset. Setting RTS/DTR lines is not supported for port '/dev/pts/9'.")
    assert not output.was_reset


@pytest.mark.parametrize(
    ("says", "kind", "means"),
    [
        (
            "A fatal error occurred: Failed to connect to ESP32: No serial data received.",
            NoSyncError,
            "Nothing was heard there",
        ),
        (
            "A fatal error occurred: Failed to connect to ESP32: Invalid head of packet (0x24)",
            NoSyncError,
            "Something else was heard there",
        ),
        (
            "Wrong boot mode detected (0x13)! The chip needs to be in download mode.",
            NoSyncError,
            "its firmware",
        ),
        (
            "Download mode successfully detected, but getting no sync reply: The serial TX",
            NoSyncError,
            "not hear",
        ),
        ("A fatal error occurred: MD5 of file does not match data in flash!", VerifyFailedError, "MD5"),
        ("A serial exception error occurred: device disconnected", LineLostError, "device disconnected"),
        ("Error: No such option: --skip-flashed", UnavailableError, "too old"),
        ("A fatal error occurred: Timed out waiting for packet header", FlashFailedError, "Timed out"),
    ],
)
def test_what_esptool_says_last_tells_what_to_do(says: str, kind: type[EdgehostError], means: str) -> None:
    problem = failure_of(ToolEnd(2, ("esptool v5.6.0", says)), job_on("socket://127.0.0.1:1", "esp32"))
    assert type(problem) is kind
    assert means in str(problem)
    assert problem.hint


class Worn(bytearray):
    """Flash in which one byte stays as it is."""

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)  # type: ignore[call-overload]
        super().__setitem__(0x10010, 0x55)


@pytest.mark.parametrize("kind", [EspProgrammer, EsptoolProgrammer])
async def test_worn_flash_is_found_out(kind: type[EspProgrammer | EsptoolProgrammer]) -> None:
    with mock_of("esp32") as mock:
        mock.flash.data = Worn(mock.flash.data)
        with pytest.raises(VerifyFailedError, match="MD5") as caught:
            await kind(SerialLines()).flash(job_on(mock.line, "esp32"), Reports())
    assert caught.value.state == BoardState.RESUMABLE


async def test_esptool_that_loses_the_board_says_in_what_state_it_is() -> None:
    with mock_of("esp32") as mock:

        def unplug(progress: FlashProgress) -> None:
            if progress.phase is Phase.WRITE and progress.done:
                mock.unplug()

        with pytest.raises(LineLostError, match="goes on where this one ended") as caught:
            await EsptoolProgrammer(SerialLines()).flash(job_on(mock.line, "esp32"), Reports(unplug))
    assert caught.value.state == BoardState.RESUMABLE


async def test_esptool_on_a_line_that_is_not_there_says_so() -> None:
    with pytest.raises(NoLineError, match="/dev/ttyNOPE"):
        await EsptoolProgrammer(SerialLines()).flash(job_on("/dev/ttyNOPE", "esp32"), Reports())
    with pytest.raises(NoLineError, match="cannot be opened"):
        await EsptoolProgrammer(SerialLines()).flash(job_on("socket://127.0.0.1:1", "esp32"), Reports())


async def test_an_image_for_another_chip_is_refused_before_anything_is_erased() -> None:
    header = bytes([0xE9, 3, 2, 0x20]) + bytes(8) + struct.pack("<H", 9) + bytes(100)
    with mock_of("esp32c3") as mock:
        with pytest.raises(ChipMismatchError, match="built for ESP32-S3; ESP32-C3 answers") as caught:
            await programmer().flash(job_on(mock.line, "esp32c3", (0, header)), Reports())
        assert set(mock.flash.data[:4096]) == {0xFF}
    assert caught.value.state == BoardState.UNTOUCHED


def answering(command: int, body: bytes) -> TcpDevice:
    """A loader that answers SYNC and one other command."""

    def feed(data: bytes) -> bytes:
        asked = unslip(data.strip(b"\xc0"))[1]
        if asked == SYNC:
            return slip(struct.pack("<BBHI", 1, SYNC, 4, 0) + bytes(4)) * 8
        return slip(struct.pack("<BBHI", 1, asked, len(body), 0) + body) if asked == command else b""

    return TcpDevice(feed, lambda: None)


async def test_a_chip_in_secure_download_mode_is_left_alone() -> None:
    body = struct.pack("<IB7xII", 1 << 2, 0, 9, 0) + bytes(4)
    async with answering(SECURITY_INFO, body).serving() as device:
        with pytest.raises(FlashFailedError, match="secure download mode"):
            await programmer().flash(job_on(device.line, "esp32s3"), Reports())


@pytest.mark.parametrize(
    ("says", "means"),
    [
        (b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n", "started its firmware"),
        (b"boot:0x3 (DOWNLOAD_BOOT)\r\nwaiting for download\r\n", "does not hear"),
        (b"", "does not answer on socket.*Nothing was heard"),
        (b"$GPGGA,123519,4807.038,N\r\n", "does not answer on socket.*Something else was heard"),
    ],
)
async def test_what_the_chip_prints_tells_why_it_does_not_answer(says: bytes, means: str) -> None:
    async with TcpDevice(lambda _data: says, lambda: None).serving() as device:
        with pytest.raises(NoSyncError, match=means):
            await programmer().flash(job_on(device.line, "esp32"), Reports())


@dataclass
class RecordedLine:
    """Takes modem lines as a UART does; ``log`` is what an oscilloscope would show."""

    has_signals: bool = True
    log: list[str] = field(default_factory=list)

    async def read(self, most: int, timeout_s: float) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        self.log.append("write")

    async def set_baud(self, baud: int) -> None:
        self.log.append(str(baud))

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        if self.has_signals:
            self.log += [f"{name}{int(on)}" for name, on in (("dtr", dtr), ("rts", rts)) if on is not None]
        return self.has_signals

    async def drop_input(self) -> None:
        self.log.append("drop")

    async def pause(self, seconds: float) -> None:
        self.log.append(f"{seconds:g}s")


async def test_the_classic_reset_holds_io0_low_while_en_rises() -> None:
    line = RecordedLine()
    assert await esp_reset.into_loader(line, "classic", 0.05, line.pause)
    assert line.log == ["dtr0", "rts1", "0.1s", "dtr1", "rts0", "0.05s", "dtr0"]


async def test_the_reset_over_the_chips_own_usb() -> None:
    line = RecordedLine()
    assert await esp_reset.into_loader(line, "usb-jtag", 0.05, line.pause)
    assert line.log == [
        "dtr0",
        "rts0",
        "0.1s",
        "dtr1",
        "rts0",
        "0.1s",
        "rts1",
        "dtr0",
        "rts1",
        "0.1s",
        "dtr0",
        "rts0",
    ]


async def test_a_line_without_modem_lines_is_reset_by_hand() -> None:
    line = RecordedLine(has_signals=False)
    assert not await esp_reset.into_loader(line, "classic", 0.05, line.pause)
    assert not await esp_reset.start(line, "classic", line.pause)
    assert not await esp_reset.start(RecordedLine(), "manual", line.pause)


async def test_erasing_everything_comes_before_writing() -> None:
    with mock_of("esp32c6") as mock:
        reports = Reports()
        job = replace(job_on(mock.line, "esp32c6"), erase_all=True)
        await programmer().flash(job, reports)
        assert bytes(mock.flash.data[0x10000 : 0x10000 + len(APP)]) == APP
    phases = [report.phase for report in reports]
    assert phases.index(Phase.ERASE) < phases.index(Phase.WRITE)
