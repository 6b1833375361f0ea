"""The STM32 bootloader: our target is judged by two genuine clients, and then judges our programmer."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgehost.adapters.boards.an3155_chips import chip_of
from edgehost.adapters.boards.an3155_programmer import An3155Programmer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.domain.board import FlashFacts
from edgehost.domain.errors import FlashFailedError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, Phase
from tests.boards.an3155_target import BASE, An3155Target
from tests.boards.programmer_bench import Reports, TcpDevice, some_board, some_bytes, some_image
from tests.required_tools import require_tool

FIRMWARE = some_bytes(20_001)


@contextmanager
def on_a_pty(target: An3155Target) -> Iterator[str]:
    """Serves the target on a pty, in a thread; gives its path."""
    master, slave = os.openpty()
    tty.setraw(slave)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            if select.select([master], [], [], 0.05)[0]:
                os.write(master, target.feed(os.read(master, 4096)))

    thread = threading.Thread(target=serve, name="an3155")
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        over.set()
        thread.join()
        os.close(master)
        os.close(slave)


@pytest.fixture(scope="module")
def modem_lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which a pty seems to have modem lines."""
    library = tmp_path_factory.mktemp("shim") / "modem_shim.so"
    source = Path(__file__).with_name("modem_shim.c")
    subprocess.run([require_tool("gcc"), "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


def client(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("extended", [False, True])
def test_stm32flash_takes_our_target_for_an_stm32(
    extended: bool, tmp_path: Path, modem_lines: dict[str, str]
) -> None:
    target = An3155Target(extended=extended)
    (tmp_path / "firmware.bin").write_bytes(FIRMWARE)
    with on_a_pty(target) as path:
        command = [
            require_tool("stm32flash"),
            "-b",
            "115200",
            "-m",
            "8n1",
            "-w",
            str(tmp_path / "firmware.bin"),
            "-v",
        ]
        said = client([*command, "-g", f"0x{BASE:x}", path], modem_lines)
    assert "0x0410" in said
    assert target.flash.startswith(FIRMWARE)
    assert target.went_to == BASE


def test_stm32loader_takes_our_target_for_an_stm32(tmp_path: Path, modem_lines: dict[str, str]) -> None:
    target = An3155Target()
    (tmp_path / "firmware.bin").write_bytes(FIRMWARE)
    with on_a_pty(target) as path:
        command = [sys.executable, "-m", "stm32loader", "-p", path, "-e", "-w", "-v", "-g", f"0x{BASE:x}"]
        client([*command, str(tmp_path / "firmware.bin")], modem_lines)
    assert target.flash.startswith(FIRMWARE)
    assert target.went_to == BASE


async def flashed(target: An3155Target) -> None:
    facts = FlashFacts("an3155", base=BASE, reset="manual", parity="even")
    image = some_image((BASE, FIRMWARE), (BASE + 0x6002, b"unaligned"))
    async with TcpDevice(target.feed, target.power_up).serving() as device:
        job = FlashJob(some_board(facts), image, device.line)
        await An3155Programmer(SerialLines()).flash(job, Reports())


async def test_a_pty_serves_as_well_as_a_socket() -> None:
    target = An3155Target(extended=True)
    board = some_board(FlashFacts("an3155", base=BASE, reset="dtr", parity="even"))
    with on_a_pty(target) as path:
        job = FlashJob(board, some_image((BASE, FIRMWARE)), path)
        outcome = await An3155Programmer(SerialLines()).flash(job, Reports())
    assert outcome.verified
    assert target.flash.startswith(FIRMWARE)


async def test_only_the_pages_of_the_image_are_erased() -> None:
    target = An3155Target()
    await flashed(target)
    assert target.erased_pages == [*range(20), 24]
    assert target.flash[0x6002:0x600B] == b"unaligned"


async def test_sectors_of_different_size_are_counted_as_the_chip_does() -> None:
    chip = chip_of(0x431)
    assert chip is not None
    assert chip.pages(BASE, BASE + 1) == [0]
    assert chip.pages(BASE + 0xFFFF, BASE + 0x1_0001) == [3, 4]
    assert chip.pages(BASE, BASE + 512 * 1024) == list(range(8))


async def test_a_chip_that_is_not_known_is_erased_whole_or_not_at_all() -> None:
    target = An3155Target(product_id=0x777)
    with pytest.raises(FlashFailedError, match="not known here") as caught:
        await flashed(target)
    assert caught.value.state == BoardState.UNTOUCHED
    assert "--erase-all" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "words", "state"),
    [
        (An3155Target(protected=True), "stm32flash -u", BoardState.UNTOUCHED),
        (An3155Target(read_protected=True), "stm32flash -k", BoardState.WRITTEN),
    ],
)
async def test_protection_is_named_with_the_way_out(
    target: An3155Target, words: str, state: BoardState
) -> None:
    with pytest.raises(FlashFailedError) as caught:
        await flashed(target)
    assert words in caught.value.hint
    assert caught.value.state == state


async def test_a_worn_cell_is_found_by_reading_back() -> None:
    with pytest.raises(VerifyFailedError, match="0x08000100") as caught:
        await flashed(An3155Target(bad_address=BASE + 0x100))
    assert caught.value.state == BoardState.PARTIAL


async def test_every_block_may_be_the_last_one() -> None:
    """The power goes at each block of a short image: what is said is true, and the next flash succeeds."""
    image = some_image((BASE, some_bytes(1500)))
    board = some_board(FlashFacts("an3155", base=BASE, reset="manual", parity="even"))
    target = An3155Target()
    async with TcpDevice(target.feed, target.power_up).serving() as device:
        for cut_at in (*range(0, 1500, 256), 1500):
            target.flash[:2048] = b"\x00" * 2048

            def cut(progress: object, cut_at: int = cut_at) -> None:
                if getattr(progress, "phase", None) is Phase.WRITE and getattr(progress, "done", 0) >= cut_at:
                    device.cut_power()

            with pytest.raises(Exception, match=r"neither the old|is written") as caught:
                await An3155Programmer(SerialLines()).flash(FlashJob(board, image, device.line), Reports(cut))
            assert getattr(caught.value, "state", "") in {BoardState.PARTIAL, BoardState.WRITTEN}
            await device.restore_power()
            await An3155Programmer(SerialLines()).flash(FlashJob(board, image, device.line), Reports())
            assert target.flash.startswith(image.segments[0].data)
            target.power_up()
            await asyncio.sleep(0)
