"""MCUboot boards by SMP, on Zephyr under qemu: what goes on, what is tried, and what goes back."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.smp_image import read_image
from edgehost.adapters.boards.smp_programmer import SmpProgrammer
from edgehost.adapters.boards.smp_session import SmpSession
from edgehost.adapters.boards.smp_transport import LineSmpTransport
from edgehost.domain.errors import DeviceError, InvalidImageError
from edgehost.domain.flashing import BoardState, FlashProgress, Phase
from edgehost.ports.device_line import LineSettings
from tests.boards.programmer_bench import Reports, job_for, some_image
from tests.boards.smp_bench import MOST_MESSAGE, SmpBench, smp_bench
from tests.boards.smp_fixtures import PREFIX, newer_image, smp_fixture


async def test_the_bootloader_swaps_and_the_new_firmware_is_confirmed_once_it_answered(
    tmp_path: Path,
) -> None:
    async with smp_bench(tmp_path) as bench:
        reports = Reports()
        outcome = await bench.programmer.flash(job_for(bench), reports)
        assert outcome.chip == "qemu_cortex_m0/nrf51822"
        assert reports[-1].detail == "version 1.0.0 answered"
        async with SerialLines().open(bench.line, LineSettings()) as line:
            first = (await SmpSession(line, MOST_MESSAGE).slots())[0]
        assert (first.version, first.active, first.confirmed) == ("1.0.0", True, True)


async def test_the_same_image_again_is_not_sent_again(tmp_path: Path) -> None:
    async with smp_bench(tmp_path) as bench:
        await bench.programmer.flash(job_for(bench), Reports())
        outcome = await bench.programmer.flash(job_for(bench), Reports())
    assert (outcome.written_bytes, outcome.skipped_bytes) == (0, bench.image.size_bytes)


async def test_who_opens_the_line_before_another_has_closed_it_gets_its_answers(tmp_path: Path) -> None:
    async with smp_bench(tmp_path) as bench, AsyncExitStack() as first:
        line = await first.enter_async_context(SerialLines().open(bench.line, LineSettings()))
        assert await SmpSession(line, MOST_MESSAGE).is_alive()
        async with SerialLines().open(bench.line, LineSettings()) as second:
            assert await SmpSession(line, MOST_MESSAGE).is_alive()
            await first.aclose()
            assert await SmpSession(second, MOST_MESSAGE).is_alive()


async def test_an_upload_goes_on_where_the_line_was_lost(tmp_path: Path) -> None:
    async with smp_bench(tmp_path) as bench:
        assert isinstance(bench, SmpBench)

        def cut(progress: FlashProgress) -> None:
            if progress.phase is Phase.WRITE and progress.done > bench.image.size_bytes // 2:
                bench.machine.drop_lines()

        with pytest.raises(DeviceError, match="goes on where this one ended") as caught:
            await bench.programmer.flash(job_for(bench), Reports(cut))
        assert caught.value.state == BoardState.RESUMABLE
        outcome = await bench.programmer.flash(job_for(bench), Reports())
        assert outcome.skipped_bytes > bench.image.size_bytes // 3
        assert bench.read_back() == bench.image.segments[0].data


async def test_a_firmware_that_was_not_confirmed_is_gone_at_the_next_reset(tmp_path: Path) -> None:
    async with smp_bench(tmp_path) as bench:
        assert isinstance(bench, SmpBench)

        def cut(progress: FlashProgress) -> None:
            if progress.phase is Phase.RESTART:
                bench.machine.drop_lines()  # nobody is there to confirm

        with pytest.raises(DeviceError):
            await bench.programmer.flash(job_for(bench), Reports(cut))
        async with SerialLines().open(bench.line, LineSettings()) as line:
            session = SmpSession(line, MOST_MESSAGE)
            await session.try_image(read_image("new", bench.image.segments[0].data).digest)
            await session.reset()
        await bench.machine.booted()
        bench.machine.cut()
        await bench.machine.booted()
        async with SerialLines().open(bench.line, LineSettings()) as line:
            first = (await SmpSession(line, MOST_MESSAGE).slots())[0]
    assert (first.version, first.active) == ("0.0.0", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _data: b"\x7fELF" + bytes(100), "no image of MCUboot"),
        (lambda data: data[:-552], "cut off"),
        (lambda data: data[:4000], "cut off"),
    ],
    ids=["an ELF file", "without its hash", "half a file"],
)
async def test_what_is_no_signed_image_never_reaches_the_board(change: object, words: str) -> None:
    data = smp_fixture(PREFIX + "signed.bin").read_bytes()
    assert callable(change)
    with pytest.raises(InvalidImageError, match=words) as caught:
        read_image("firmware.bin", change(data))
    assert "imgtool" in caught.value.hint


def test_the_hash_is_the_images() -> None:
    data = smp_fixture(PREFIX + "signed.bin").read_bytes()
    old, new = read_image("old", data), read_image("new", newer_image(data, 3))
    assert (old.version, new.version) == ("0.0.0", "3.0.0")
    assert old.digest != new.digest
    assert len(new.digest) == 32


async def test_an_image_in_parts_is_refused(tmp_path: Path) -> None:
    async with smp_bench(tmp_path) as bench:
        job = replace(job_for(bench), image=some_image((0, b"a"), (9, b"b")))
        with pytest.raises(InvalidImageError, match="several parts"):
            await SmpProgrammer(SerialLines()).flash(job, Reports())
        assert FlashRun(job, Reports()).state == BoardState.UNTOUCHED


class Replies:
    """A line that says what it was given, whatever it is asked."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    async def read(self, most: int, timeout_s: float) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""

    async def write(self, data: bytes) -> None: ...

    async def set_baud(self, baud: int) -> None: ...

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        return False

    async def drop_input(self) -> None: ...


async def test_a_late_answer_and_console_text_are_no_answer() -> None:
    from smp import packet  # noqa: PLC0415

    def frame(number: int) -> bytes:
        return b"".join(packet.encode(bytes([1, 0, 0, 1, 0, 0, number, 0, 0xA0]), 128))

    broken = frame(7).replace(b"A", b"B", 1)
    line = Replies(b"[00:00:01] <inf> hello\r\n", frame(6), broken, b"uart:~$ " + frame(7)[:5], frame(7)[5:])
    request = bytes([0, 0, 0, 1, 0, 0, 7, 0, 0xA0])
    assert (await LineSmpTransport(line).send_and_receive(request))[6] == 7
