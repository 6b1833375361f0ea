"""Flash rates against the tools that boards' owners have: avrdude, esptool and smpmgr, on the same targets in one run.

Both sides are command lines and do the same work: start, connect, write, and check what was written. Targets: Arduino's
bootloaders in simavr at the chip's own speed, the ESP mock, and Zephyr under qemu; none of them is silicon.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.boards.avr_boards import BOOTLOADERS, KINDS, EmulatedBoard, Kind, firmware, powered
from tests.boards.esp_bench import EspMock
from tests.boards.programmer_bench import some_bytes
from tests.boards.smp_bench import MOST_MESSAGE, Machine
from tests.boards.smp_fixtures import PREFIX, newer_image, smp_fixture

Row = dict[str, Any]
Measure = Callable[[str, Path, bool], Awaitable[list[Row]]]
ESPTOOL: Final = (sys.executable, "-m", "esptool")
SMPMGR: Final = Path(sys.executable).with_name("smpmgr")
EDGEHOST: Final = (sys.executable, "-m", "edgehost")
#: Bytes for each bootloader: some five seconds at its baud.
AVR_BYTES: Final = {"stk500v1": 8_000, "stk500v2": 12_000}
ESP_BYTES: Final = 1_500_000
TOOL_TIMEOUT_S: Final = 50


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    return asyncio.run(_measure(quick))


async def _measure(quick: bool) -> list[Row]:  # noqa: FBT001 - as above
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        for protocol in AVR_BYTES:
            rows += await _unless_missing(_avr, protocol, Path(scratch), quick)
        rows += await _unless_missing(_esp, "esp", Path(scratch), quick)
        rows += await _unless_missing(_smp, "smp", Path(scratch), quick)
    return rows


async def _unless_missing(measure: Measure, what: str, folder: Path, quick: bool) -> list[Row]:  # noqa: FBT001 - as above
    tool = {"esp": "esptool", "smp": "smpmgr"}.get(what, "avrdude")
    if lacking := _lacking(what):
        return [{"name": f"{what}: {tool}", "value": 0.0, "unit": "skipped", "missing": " ".join(lacking)}]
    return await measure(what, folder, quick)


def _lacking(what: str) -> list[str]:
    needed: tuple[str, ...] = ()
    if what == "smp":
        needed = ("qemu-system-arm", str(SMPMGR))
    elif what in KINDS:
        needed = ("avrdude", "avr-gcc", "gcc", "/usr/include/simavr/sim_avr.h", str(BOOTLOADERS))
    return [name for name in needed if not (shutil.which(name) or Path(name).exists())]


async def _avr(protocol: str, folder: Path, quick: bool) -> list[Row]:  # noqa: FBT001 - as above
    kind = KINDS[protocol]
    size = AVR_BYTES[protocol] // (2 if quick else 1)
    image = folder / f"{protocol}.bin"

    async def ours(board: EmulatedBoard) -> float:
        return await _told(
            *EDGEHOST, "flash", kind.board, "--image", image, "--unsigned", "--line", board.line
        )

    async def theirs(board: EmulatedBoard) -> float:
        programmer, part = kind.avrdude
        settings = ("-c", programmer, "-p", part, "-b", kind.baud, "-P", board.line)
        return await _told("avrdude", "-q", *settings, "-D", "-U", f"flash:w:{image}:r")

    spent = []
    for name, flash in (("ours", ours), ("avrdude", theirs)):
        await asyncio.to_thread(image.write_bytes, firmware(kind, name, size))
        spent.append(await _flashed_avr(kind, folder / f"{protocol}-{name}", image, flash))
    return _rows(f"{kind.board} ({protocol}, {kind.baud} baud)", size, "avrdude", spent)


async def _flashed_avr(
    kind: Kind, flash_file: Path, image: Path, flash: Callable[[EmulatedBoard], Awaitable[float]]
) -> float:
    async with powered(kind, flash_file, speed=1) as board:
        spent = await flash(board)
        assert board.holds(await asyncio.to_thread(image.read_bytes))
    return spent


async def _esp(_what: str, folder: Path, quick: bool) -> list[Row]:  # noqa: FBT001 - as above
    size = ESP_BYTES // (2 if quick else 1)
    image = folder / "app.bin"
    image.write_bytes(b"\xe9" + some_bytes(size - 1))
    spent = []
    for name in ("ours", "esptool", "esptool --no-stub"):
        mock = EspMock("esp32")
        try:
            words: tuple[str, ...] = (*ESPTOOL, *name.split()[1:], "--chip", "esp32", "--port", mock.line)
            if name == "ours":
                parts = ("--part", f"0x10000={image}", "--unsigned")
                words = (*EDGEHOST, "flash", "sim-esp32", *parts, "--line", mock.line)
            else:
                words += ("--after", "no-reset", "write-flash", "0x10000", str(image))
            spent.append(await _told(*words))
            assert mock.flash.data[0x10000 : 0x10000 + size] == image.read_bytes()
        finally:
            mock.close()
    return [
        *_rows("sim-esp32 (a mock: no line, no flash)", size, "esptool", spent[:2]),
        _row("sim-esp32: esptool without its stub", size / spent[2] / 1000, "kB/s"),
    ]


async def _smp(_what: str, folder: Path, quick: bool) -> list[Row]:  # noqa: ARG001, FBT001 - as above
    """Until the image is in its slot; edgehost goes on to swap, to wait for the new firmware and to confirm it."""
    image = folder / "new.signed.bin"
    image.write_bytes(newer_image(smp_fixture(PREFIX + "signed.bin").read_bytes(), 1))
    boards = folder / "boards"
    boards.mkdir()
    (boards / "sim-zephyr.toml").write_text(_zephyr_board())
    spent = []
    async with _zephyr(folder / "ours") as line:
        where = ("--line", line, "--boards", boards)
        words = (*EDGEHOST, "flash", "sim-zephyr", "--image", image, "--unsigned", *where, "--json")
        spent.append(await _told(*words, until='"phase": "verify"'))
    async with _zephyr(folder / "theirs") as line:
        lines = ("--line-length", 128, "--line-buffers", 2)
        spent.append(await _told(SMPMGR, "--port", line, *lines, "image", "upload", image))
    return _rows("Zephyr with MCUboot (smp)", image.stat().st_size, "smpmgr", spent)


def _zephyr_board() -> str:
    """The catalogue's board of this kind; the machine of these fixtures takes two lines at a time."""
    board = (Path(__file__).parents[1] / "boards" / "sim-mps2-an385.toml").read_text()
    page = f'protocol = "smp"\npage = {MOST_MESSAGE}'
    return board.replace('"sim-mps2-an385"', '"sim-zephyr"').replace('protocol = "smp"', page)


@asynccontextmanager
async def _zephyr(folder: Path) -> AsyncIterator[str]:
    """The emulated machine on a pty, which is what smpmgr takes."""
    await asyncio.to_thread(folder.mkdir)
    machine = await asyncio.to_thread(Machine, folder)
    master, slave = os.openpty()
    tty.setraw(slave)
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(machine.serve, "127.0.0.1", 0)
    try:
        await machine.booted()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        loop.add_reader(master, lambda: writer.write(os.read(master, 4096)))

        async def answers() -> None:
            while data := await reader.read(4096):
                os.write(master, data)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(answers(), name="pty")
            yield os.ttyname(slave)
            task.cancel()
        loop.remove_reader(master)
        writer.close()
    finally:
        server.close()
        await asyncio.to_thread(machine.close)
        os.close(master)
        os.close(slave)


async def _told(*words: object, until: str = "") -> float:
    """Run a command line to its end; the seconds that it took, or that it took until it said something."""
    began = time.perf_counter()
    spent = 0.0
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = b""
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TOOL_TIMEOUT_S):
            async for line in process.stdout:
                said += line
                if until and not spent and until.encode() in line:
                    spent = time.perf_counter() - began
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{words[0]} failed: {said.decode(errors='replace')[-800:]}")
    return spent or time.perf_counter() - began


def _rows(target: str, size: int, tool: str, spent: list[float]) -> list[Row]:
    ours, theirs = spent
    return [
        _row(f"{target}: edgehost flash", size / ours / 1000, "kB/s", seconds=round(ours, 2)),
        _row(f"{target}: {tool}", size / theirs / 1000, "kB/s", seconds=round(theirs, 2)),
        _row(f"{target}: edgehost against {tool}", theirs / ours, "times"),
    ]


def _row(name: str, value: float, unit: str, **more: object) -> Row:
    return {"name": name, "value": round(value, 2), "unit": unit, **more}


if __name__ == "__main__":
    for line in run(quick=False):
        print(f"{line['name']:<70} {line['value']:>12} {line['unit']}")
