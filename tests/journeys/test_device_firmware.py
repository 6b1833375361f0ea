"""A deployment brings firmware to a bridged microcontroller over its own line, and the host goes with it or not at all."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.command_table import OK
from edgehost.cli.demo_host import DemoHost
from edgehost.cli.main import main
from edgehost.domain.signed_document import DocumentKind
from firmware_bridge.device.provision import provisioned
from remotes.document_publisher import publish_document
from remotes.folder_transport import open_folder_transport
from remotes.mirror import mirror_repository
from remotes.repository import Repository
from tests.bridge.flashable_board import BOARD, MACHINE, board_folder, flashable_board
from tests.firmware.conftest import KEY, UID, built, public_bytes
from tests.journeys.fleet import Fleet, telemetry
from tests.journeys.test_deployments import deploy, state
from tests.journeys.test_device_bridge import online
from tests.required_tools import require_tool

pytestmark = pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
VERSION = b"0.1.0"
#: A stack pointer, and a program that stays where it is.
SILENT = struct.pack("<II", 0x2002_0000, 0x0800_0009) + b"\xfe\xe7" * 64


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The device firmware for the board, as it is written from the flash's start on."""
    path = tmp_path_factory.mktemp("firmware") / "firmware.bin"
    elf = built(MACHINE, compiler="arm-none-eabi-gcc")
    objcopy = require_tool("arm-none-eabi-objcopy")
    subprocess.run([objcopy, "-O", "binary", str(elf), str(path)], check=True, timeout=30)
    return provisioned(path.read_bytes(), UID, [public_bytes(KEY)])


async def publish_firmware(fleet: Fleet, version: str, content: bytes) -> None:
    published = await asyncio.to_thread(
        publish_document,
        fleet.folder / "repository",
        DocumentKind.FIRMWARE,
        "lamp-firmware",
        content,
        version=version,
        about={"board": BOARD, "format": "bin"},
        signers=[fleet.signer],
        now=time.time(),  # noqa: TID251 - the publisher's wall clock
    )
    async with open_folder_transport(fleet.folder / "mirror") as transport:
        await mirror_repository(
            Repository(fleet.folder / "repository"), transport, fresh=published.fresh, before=published.before
        )


def site(version: str, firmware: str) -> dict[str, Any]:
    return {
        "name": "site",
        "on_failure": "all-or-none",
        "components": {"telemetry": {"version": version}},
        "firmware": {"lamp": f"lamp-firmware@{firmware}"},
    }


def config(fleet: Fleet, line: str, back_within_s: float = 60) -> Any:
    device = f'[devices.lamp]\nline = "{line}"\ninterval_ms = 200\nsilence_s = 2\nback_within_s = {back_within_s}\n'
    return fleet.config(more=f'[boards]\nfolder = "boards"\n{device}')


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_host_and_its_device_get_a_component_and_firmware_together_or_not_at_all(
    tmp_path: Path, image: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    board_folder(tmp_path / "boards")
    newer = image.replace(VERSION, b"0.2.0")
    await fleet.publish(telemetry("1.0.0"))
    await publish_firmware(fleet, "0.2.0", newer)
    with flashable_board(tmp_path / "board", image) as board:
        async with fleet.host(config(fleet, board.line, 20)) as host:
            device = await online(host)
            assert (device["identity"]["board"], device["identity"]["firmware"]) == (MACHINE, "0.1.0")
            await host.live("telemetry", "1.0.0")
            views = host.host.control.deployment_views
            assert views is not None
            planned = await views.plan(site("=1.0.0", "^0.2"))
            step = planned["deployments"][0]["components"][-1]["steps"][0]
            assert step["what"] == "lamp-firmware 0.1.0 to 0.2.0"
            assert "Set BOOT0 to 1 and press reset." in step["reason"]

            await fleet.publish(telemetry("1.0.1"))
            await deploy(fleet, site("=1.0.1", "^0.2"))
            await host.until(lambda: state(host) == "successful 1", timeout_s=100)
            assert board.holds(newer)
            device = await online(host)
            assert device["identity"]["firmware"] == "0.2.0"
            assert device["firmware"] | {"digest": ""} == {
                "running": "0.2.0",
                "image": "lamp-firmware",
                "digest": "",
                "wanted": "0.2.0",
                "flash": None,
                "lost": "",
                "by_hand": None,
                "failed": {},
            }
            assert host.live_version("telemetry") == "1.0.1"

            await publish_firmware(fleet, "0.3.0", SILENT)
            await fleet.publish(telemetry("1.0.2"))
            await deploy(fleet, site("=1.0.2", "^0.3"))
            await host.until(lambda: state(host) == "failed 2", timeout_s=150)
            rows = str(host.host.control.more_status["deployments"]())
            assert "lamp-firmware 0.3.0 did not come back" in rows
            assert "lamp-firmware 0.2.0 runs again" in rows
            assert board.holds(newer)
            assert (await online(host))["identity"]["firmware"] == "0.2.0"
            await host.live("telemetry", "1.0.1")

            capsys.readouterr()
            words = ["bridge", "show", "lamp", "-c", str(tmp_path)]
            assert await asyncio.to_thread(main, words) == OK
            shown = capsys.readouterr().out
            assert "image     lamp-firmware 0.2.0" in shown
            assert "lamp-firmware 0.3.0 did not come back" in shown


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("at", "how"), [("writing", "kill"), ("trying", "kill"), ("writing", "stop")])
async def test_a_flash_that_the_host_s_end_broke_off_is_finished_when_it_is_back(
    tmp_path: Path, image: bytes, at: str, how: str
) -> None:
    fleet = Fleet(tmp_path)
    board_folder(tmp_path / "boards")
    newer = image.replace(VERSION, b"0.2.0")
    await publish_firmware(fleet, "0.2.0", newer)
    with flashable_board(tmp_path / "board", image) as board:
        settings = config(fleet, board.line)
        assert settings.path is not None
        host = DemoHost(settings.path, settings.unix_socket)
        await host.start()
        try:
            await until(host, lambda lamp: lamp["online"])
            await deploy(fleet, {"name": "site", "firmware": {"lamp": "lamp-firmware@^0.2"}})
            async with asyncio.timeout(60):
                while not (board.target.erased_pages if at == "writing" else board.has_booted(newer)):
                    await asyncio.sleep(0.005)
            await (host.kill() if how == "kill" else host.stop())
            assert board.holds(newer) is (at == "trying")
            await host.start()
            await until(host, lambda lamp: lamp["online"] and lamp["identity"]["firmware"] == "0.2.0")
            await until(host, lambda lamp: lamp["firmware"]["image"] == "lamp-firmware")
            assert board.holds(newer)
            async with asyncio.timeout(60):
                while (await host.get("/api/host/status"))["deployments"]["site"]["state"] != "successful":
                    await asyncio.sleep(0.05)
        finally:
            await host.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_flash_by_hand_that_the_host_s_end_broke_off_is_told_until_it_is_repeated(
    tmp_path: Path, image: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    board_folder(tmp_path / "boards")
    newer = image.replace(VERSION, b"0.2.0")
    await publish_firmware(fleet, "0.2.0", newer)
    with flashable_board(tmp_path / "board", image) as board:
        settings = config(fleet, board.line)
        assert settings.path is not None
        host = DemoHost(settings.path, settings.unix_socket)
        order = [
            "flash",
            BOARD,
            "--firmware",
            "lamp-firmware@0.2.0",
            "--line",
            board.line,
            "-c",
            str(tmp_path),
        ]
        await host.start()
        try:
            await until(host, lambda lamp: lamp["online"])
            async with asyncio.timeout(60):
                while not (await host.get("/api/host/firmware"))["firmware"]:
                    await asyncio.sleep(0.05)
            ordered = asyncio.create_task(asyncio.to_thread(main, order))
            async with asyncio.timeout(60):
                while not board.target.erased_pages:
                    await asyncio.sleep(0.005)
            await host.kill()
            assert await ordered != OK
            assert not board.holds(newer)
            await host.start()
            lamp = await host.get("/api/host/devices/lamp")
            assert (lamp["online"], lamp["firmware"]["by_hand"]["version"]) == (False, "0.2.0")
            capsys.readouterr()
            await asyncio.to_thread(main, ["bridge", "show", "lamp", "-c", str(tmp_path)])
            assert "by hand   The flash of lamp-firmware 0.2.0 by hand" in capsys.readouterr().out
            await asyncio.to_thread(main, ["doctor", "--json", "-c", str(tmp_path)])
            told = {each["subject"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
            again = f"edgehost flash {BOARD} --firmware lamp-firmware@0.2.0 --line {board.line}"
            assert again in told["host: firmware of lamp"]["advice"]
            assert "Set BOOT0 to 1 and press reset." in told["host: firmware of lamp"]["advice"]
            assert "cable" not in told["host: device lamp"]["advice"]

            async with asyncio.timeout(60):
                while not (await host.get("/api/host/firmware"))["firmware"]:
                    await asyncio.sleep(0.05)
            assert await asyncio.to_thread(main, order) == OK
            await until(host, lambda lamp: lamp["online"] and lamp["identity"]["firmware"] == "0.2.0")
            assert (await host.get("/api/host/devices/lamp"))["firmware"]["by_hand"] is None
        finally:
            await host.stop()


async def until(host: DemoHost, holds: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(100):
        while not holds(await host.get("/api/host/devices/lamp")):
            await asyncio.sleep(0.05)
