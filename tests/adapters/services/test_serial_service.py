"""The service serial on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgehost.adapters.services.serial_service import open_serial_service
from edgehost.config_services import SerialOptions
from edgehost.domain.errors import RefusedError, UnavailableError
from tests.adapters.services.service_scenes import Told, opened


async def test_lines_go_out_and_come_in(tmp_path: Path) -> None:
    async with opened("serial", tmp_path) as scene:
        await scene.service.call("write", {"line": "led on"}, timeout_s=5)
        assert await asyncio.to_thread(os.read, scene.world, 100) == b"led on\n"
        os.write(scene.world, b"temperature 2")
        os.write(scene.world, b"1.5\nhumidity 40\n")
        assert await scene.told.wait_for("line", count=2) == [
            {"line": "temperature 21.5"},
            {"line": "humidity 40"},
        ]


async def test_a_question_gets_the_next_line(tmp_path: Path) -> None:
    async with opened("serial", tmp_path) as scene:

        async def device() -> None:
            assert await asyncio.to_thread(os.read, scene.world, 100) == b"how warm\n"
            os.write(scene.world, b"21.5\n")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(device())
            assert await scene.service.call("ask", {"line": "how warm"}, timeout_s=5) == {"line": "21.5"}
        with pytest.raises(UnavailableError, match="did not answer"):
            await scene.service.call("ask", {"line": "silence", "timeout_s": 0.05}, timeout_s=5)


async def test_endless_and_over_long_lines_are_dropped_and_counted(tmp_path: Path) -> None:
    async with opened("serial", tmp_path) as scene:
        for _ in range(20):
            await asyncio.to_thread(os.write, scene.world, b"x" * 1000)  # waits for whoever reads
        os.write(scene.world, b"\nshort\n")
        assert await scene.told.wait_for("line") == [{"line": "short"}]
        assert "1 lines were too long" in scene.service.health().detail
        with pytest.raises(RefusedError):
            await scene.service.call("write", {"line": "y" * 65}, timeout_s=5)
        with pytest.raises(RefusedError):
            await scene.service.call("write", {"line": "two\nlines"}, timeout_s=5)


async def test_a_device_that_is_unplugged_is_told_and_calls_say_so(tmp_path: Path) -> None:
    device, host = os.openpty()
    told = Told()
    options = SerialOptions(device_path=Path(os.ttyname(host)))
    os.close(host)
    async with open_serial_service("line", options, told) as service:
        await told.wait_for("opened")
        os.close(device)
        await told.wait_for("closed")
        with pytest.raises(UnavailableError):
            await service.call("write", {"line": "x"}, timeout_s=5)
        assert service.health().state == "warning"


async def test_a_device_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    options = SerialOptions(device_path=tmp_path / "ttyNONE")
    async with open_serial_service("line", options, Told()) as service:
        with pytest.raises(UnavailableError, match="not there"):
            await service.call("write", {"line": "x"}, timeout_s=5)
