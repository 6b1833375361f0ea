"""Signed firmware, from a publisher through a host to a board: the host has the trust and the line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.command_table import CHIP_MISMATCH, FLASH_FAILED, NOT_FOUND, OK
from edgehost.cli.main import main
from edgehost.domain.errors import ChipMismatchError, LineBusyError, NotFoundError, RefusedError
from edgehost.domain.flash_events import FlashBegan, FlashEnded
from tests.boards.avr_boards import KINDS, app, firmware, powered
from tests.journeys.fleet import Fleet, RunningHost

KIND = KINDS["stk500v1"]


def published(fleet: Fleet, image: Path, version: str, *more: str, board: str = KIND.board) -> int:
    return main(
        [
            "firmware", "publish", str(fleet.folder / "repository"), str(image), "--board", board, "--name", "blinker",
            "--version", version, "--key", str(fleet.folder / "only.key"), "--to", str(fleet.folder / "mirror"), *more,
        ]
    )  # fmt: skip


@asynccontextmanager
async def host_with(fleet: Fleet, *versions: str) -> AsyncIterator[RunningHost]:
    for version in versions:
        image = app(KIND.mcu, KIND.baud, f"v{version.replace('.', '')}")
        assert await asyncio.to_thread(published, fleet, image.with_suffix(".hex"), version) == OK
    async with fleet.host() as host:
        await host.until(lambda: len(host.host.control.boards().firmware()) == len(versions))
        yield host


async def ended(host: RunningHost, flash: dict[str, Any]) -> dict[str, Any]:
    while flash["state"] == "running":
        flash = await host.request(
            "GET", f"/api/host/flash-state/{flash['flash']}", seen=flash["turn"], wait_s=10
        )
    return flash


async def test_the_newest_signed_firmware_is_flashed_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    async with (
        host_with(fleet, "1.0.0", "1.10.0", "1.9.0") as host,
        powered(KIND, tmp_path / "flash") as board,
    ):
        events = []
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, FlashBegan | FlashEnded)) as heard:
            words = [
                "flash",
                KIND.board,
                "--firmware",
                "blinker",
                "--line",
                board.line,
                "--json",
                "-c",
                str(tmp_path),
            ]
            capsys.readouterr()
            assert await asyncio.to_thread(main, words) == OK
            events = [await anext(heard), await anext(heard)]
        assert board.holds(app(KIND.mcu, KIND.baud, "v1100").with_suffix(".bin").read_bytes())
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert told[0]["image"]["version"] == "1.10.0"
        assert told[-1]["verified"] is True
        assert [type(event) for event in events] == [FlashBegan, FlashEnded]
        assert isinstance(events[1], FlashEnded)
        assert (events[1].problem, events[1].version) == ("", "1.10.0")

        words[3] = "blinker@1.0.0"
        assert await asyncio.to_thread(main, words) == OK
        assert board.holds(app(KIND.mcu, KIND.baud, "v100").with_suffix(".bin").read_bytes())
        words[3] = "blinker@2.0.0"
        assert await asyncio.to_thread(main, words) == NOT_FOUND
        assert "On offer: 1.0.0, 1.10.0, 1.9.0" in capsys.readouterr().err
        words[1:4] = ["uno", "--firmware", "blinker"]
        assert await asyncio.to_thread(main, words) == CHIP_MISMATCH

        capsys.readouterr()
        assert await asyncio.to_thread(main, ["firmware", "ls", "-c", str(tmp_path)]) == OK
        assert "blinker  1.10.0" in capsys.readouterr().out


async def test_an_image_that_does_not_fit_is_never_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    image = app(KIND.mcu, KIND.baud, "alpha")
    assert await asyncio.to_thread(published, fleet, image, "1.0.0", board="pico") == CHIP_MISMATCH
    assert await asyncio.to_thread(published, fleet, image, "1.0.0", board="unknown") == NOT_FOUND
    assert await asyncio.to_thread(published, fleet, image, "one") != OK
    assert "version" in capsys.readouterr().err


async def test_over_the_api_a_flash_is_ordered_followed_and_remembered(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with host_with(fleet, "1.0.0") as host, powered(KIND, tmp_path / "flash") as board:
        order = {"board": KIND.board, "firmware": "blinker", "line": board.line}
        planned = await host.request("POST", "/api/host/flash", {**order, "dry_run": True})
        assert planned["state"] == "planned"
        assert (await host.request("GET", "/api/host/flash"))["flashes"] == []

        flash = await ended(host, await host.request("POST", "/api/host/flash", order))
        assert flash["state"] == "done"
        assert flash["outcome"]["chip"] == "atmega328p (1e950f)"
        (remembered,) = (await host.request("GET", "/api/host/flash"))["flashes"]
        assert remembered == flash
        with pytest.raises(NotFoundError, match="no flash 99"):
            await host.request("GET", "/api/host/flash-state/99")
        for wrong in ({}, {**order, "speed": 1}, {**order, "baud": -1}, {**order, "board": "../x"}):
            with pytest.raises(RefusedError):
                await host.request("POST", "/api/host/flash", wrong)
        with pytest.raises(NotFoundError, match="No remote offers firmware 'blinkre'"):
            await host.request("POST", "/api/host/flash", {**order, "firmware": "blinkre"})
        with pytest.raises(ChipMismatchError, match="signed for sim-m328p"):
            await host.request("POST", "/api/host/flash", {**order, "board": "uno"})

        assert any(each["id"] == "uno" for each in (await host.request("GET", "/api/host/boards"))["boards"])
        assert isinstance((await host.request("GET", "/api/host/lines"))["lines"], list)
        (offer,) = (await host.request("GET", "/api/host/firmware"))["firmware"]
        assert (offer["name"], offer["boards"], offer["remote"]) == ("blinker", [KIND.board], "fleet")


async def test_a_board_that_loses_its_power_is_told_with_its_state_and_the_host_serves_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    image = tmp_path / "large.bin"
    image.write_bytes(firmware(KIND, "large", 20_000))
    assert await asyncio.to_thread(published, fleet, image, "1.0.0") == OK
    async with fleet.host() as host, powered(KIND, tmp_path / "flash") as board:
        await host.until(lambda: host.host.control.boards().firmware())
        order = {"board": KIND.board, "firmware": "blinker", "line": board.line}
        flash = await host.request("POST", "/api/host/flash", order)
        while not (flash["progress"] and flash["progress"]["phase"] == "write" and flash["progress"]["done"]):
            assert flash["state"] == "running", flash
            with pytest.raises(LineBusyError, match="is being flashed"):
                await host.request("POST", "/api/host/flash", order)
            flash = await host.request(
                "GET", f"/api/host/flash-state/{flash['flash']}", seen=flash["turn"], wait_s=10
            )
        board.cut_power()
        flash = await ended(host, flash)
        assert flash["problem"]["code"] == "line-lost"
        assert flash["problem"]["board_state"] == "partial"
        assert "neither the old firmware nor the new one" in flash["problem"]["message"]
        assert (await host.request("GET", "/api/host/status"))["name"] == "journey"
    async with fleet.host() as host, powered(KIND, tmp_path / "flash") as board:
        await host.until(lambda: host.host.control.boards().firmware())
        cut = asyncio.create_task(_cut_when_writing(host, board.cut_power))
        words = ["flash", KIND.board, "--firmware", "blinker", "--line", board.line, "-c", str(tmp_path)]
        assert await asyncio.to_thread(main, words) == FLASH_FAILED
        await cut
        assert "flash it again" in capsys.readouterr().err
    async with fleet.host() as host, powered(KIND, tmp_path / "flash") as board:
        await host.until(lambda: host.host.control.boards().firmware())
        words[5] = board.line
        assert await asyncio.to_thread(main, words) == OK
        assert board.holds(image.read_bytes())


async def _cut_when_writing(host: RunningHost, cut: Any) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        flashes = host.host.control.boards().flashes()
        if (
            flashes
            and (progress := flashes[0]["progress"])
            and progress["phase"] == "write"
            and progress["done"]
        ):
            cut()
            return
        await asyncio.sleep(0.01)
    pytest.fail("nothing was written")
