"""Firmware ordered over the broker: what the operator says of how to write it reaches the board's programmer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.command_table import OK
from remotes.keys import generate_key
from tests.boards.esp_bench import EspMock
from tests.boards.programmer_bench import some_bytes
from tests.boards.test_flash_through_host import published
from tests.journeys.fleet import Fleet
from tests.journeys.test_fleet_command_line import Laptop, host

BOARD = "esp32-devkitc"


async def test_an_operator_chooses_what_writes_the_board_and_is_told_what_is_left_to_do(
    tmp_path: Path,
) -> None:
    fleet, content = Fleet(tmp_path), bytes((0xE9, 1, 2, 0x20)) + bytes(20) + some_bytes(20_000 - 24)
    for name in ("ada", "bob"):
        generate_key(tmp_path / f"{name}.key")
    image = tmp_path / "blinker.bin"
    image.write_bytes(content)
    assert await asyncio.to_thread(published, fleet, image, "1.0.0", board=BOARD) == OK
    mock = EspMock("esp32")
    try:
        async with open_broker(kind="mosquitto") as broker, host(fleet, broker, "one", "north") as one:
            await one.until(lambda: len(one.host.control.boards().firmware()) == 1)
            laptop = Laptop(tmp_path, broker)
            flash = ("flash", BOARD, "blinker@1.0.0", "--host", "one", "--line", mock.line)
            told = await laptop.said(*flash, "--tool", "esptool", "--baud", "230400", "--dry-run")
            assert told == [
                f"one: would write blinker 1.0.0, 19.5 KiB, to {BOARD} over {mock.line} (esp by esptool)."
            ]
            (planned,) = (await laptop.run(*flash, "--no-verify", "--dry-run"))["commands"]
            plan = planned["result"]["plan"]
            assert (plan["tool"], plan["verify"]) == ("built-in", False)
            assert planned["result"]["outcome"] is None
            told = await laptop.said(*flash, "--tool", "esptool", "--erase-all")
            assert told == [
                f"one: wrote blinker 1.0.0 to {BOARD} over {mock.line}, ESP32, verified.",
                "  Note: esptool cannot start the firmware without modem lines: press EN (RST) to start it.",
            ]
            (refused,) = (await laptop.run(*flash, "--tool", "pyocd", code=1))["commands"]
            assert "'pyocd' writes no boards of the protocol 'esp'" in refused["reason"]
    finally:
        mock.close()
    assert content in bytes(mock.flash.data)
