"""A microcontroller as a node of a host: seen, called, deployed to; the device is the firmware as a process on a pty."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.cli.command_table import OK
from edgehost.cli.main import main
from edgehost.domain.component_file import read_component
from edgehost.domain.device_events import DeviceEvent, DeviceTelemetry
from edgehost.domain.errors import (
    ConflictError,
    GuestFailedError,
    IncompatibleReleaseError,
    LineBusyError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UntrustedReleaseError,
)
from edgehost.domain.events import RecordEvent
from edgehost.ports.device_line import LineSettings
from edgehost.usecases.invoke_port import invoke_port
from remotes.device_manifests import DeviceSigning, device_manifest
from remotes.keys import generate_key, load_signer
from tests.bridge.device_scene import BLINK, Workshop, blink, pty_device, publish, tcp_device
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import station
from tests.usecases.deploy_scene import component_bytes


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


def lamp(line: str, more: str = "") -> str:
    return f'[devices.lamp]\nline = "{line}"\ninterval_ms = 100\nsilence_s = 1.0\n{more}'


async def online(host: RunningHost, name: str = "lamp") -> dict[str, Any]:
    """The device, once it is there."""
    await host.until(lambda: host.host.control.devices().devices()[0]["online"])
    device: dict[str, Any] = await host.request("GET", f"/api/host/devices/{name}")
    return device


async def deploy(host: RunningHost, component: str = "device-blink", **more: str) -> dict[str, Any]:
    order = {"component": component, **more}
    device: dict[str, Any] = await host.request("POST", "/api/host/devices/lamp/deploy", order)
    return device


async def test_a_device_is_bridged_gets_a_component_and_is_called(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, BLINK, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            device = await online(host)
            assert device["identity"]["board"] == "posix"
            assert device["slots"]["running"] is None

            device = await deploy(host)
            assert (device["slots"]["running"]["component"], device["transfer"]) == ("device-blink", None)

            bus = host.host.control.manager.bus
            async with asyncio.timeout(20), bus.subscription(_telemetry, backlog=100) as events:
                path = "/api/host/devices/lamp/call/device-blink/set"
                assert await host.request("POST", path, {"on": True}) == {"on": True}
                told: dict[str, Any] = {}
                while told.get("data", {}).get("component") != {"on": True, "switched": 1}:
                    told = (await anext(events)).details()
            assert told["device"] == "lamp"
            status = await host.request("GET", "/api/host/status")
            assert status["devices"]["lamp"]["telemetry"]["component"]["on"] is True
            findings = (await host.request("GET", "/api/host/doctor"))["findings"]
            (finding,) = [each for each in findings if each["check"] == "device lamp"]
            assert "posix with firmware" in finding["detail"]
            assert "runs device-blink 1.0.0" in finding["detail"]


def _telemetry(event: object) -> bool:
    return isinstance(event, DeviceTelemetry)


async def test_telemetry_becomes_records_in_a_ring(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(component_bytes("readings", "1.0.0"))
    more = 'model = "readings"\nkeep = 3\nrecord_every_s = 0.0\n'
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path, more))) as host:
            await host.live("readings", "1.0.0")
            bus, kinds = host.host.control.manager.bus, list[str]()
            async with asyncio.timeout(20), bus.subscription(_record, backlog=100) as events:
                while kinds.count("edgehost.record.created") < 3 or "edgehost.record.updated" not in kinds:
                    kinds.append((await anext(events)).type)
            items = (await host.request("GET", "/api/models/readings"))["records"]
            assert len(items) == 3
            assert {item["data"]["device"] for item in items} == {"lamp"}
            assert all(item["data"]["up_ms"] >= 0 for item in items)


def _record(event: object) -> bool:
    return isinstance(event, RecordEvent)


async def test_a_newer_version_takes_over_and_the_one_before_comes_back(
    tmp_path: Path, workshop: Workshop
) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, BLINK, workshop.signing)
    async with (
        tcp_device(workshop, tmp_path / "flash") as line,
        fleet.host(fleet.config(more=lamp(line))) as host,
    ):
        await online(host)
        await deploy(host)
        with pytest.raises(ConflictError, match="runs on this device already"):
            await deploy(host)
        await publish(fleet, blink("1.1.0"), workshop.signing)
        assert running(await deploy(host)) == "device-blink 1.1.0"
        device = await host.request("POST", "/api/host/devices/lamp/rollback")
        assert running(device) == "device-blink 1.0.0"
        with pytest.raises(NotFoundError):
            await host.request("POST", "/api/host/devices/lamp/call/device-blink/missing")
        with pytest.raises(GuestFailedError, match="say"):
            await host.request("POST", "/api/host/devices/lamp/call/device-blink/set", {"on": 3})
        with pytest.raises(NotFoundError, match="There is no device 'lump'"):
            await host.request("GET", "/api/host/devices/lump")


def running(device: dict[str, Any]) -> str:
    release = device["slots"]["running"]
    return "" if release is None else f"{release['component']} {release['version']}"


async def test_what_is_too_large_or_signed_by_another_is_refused_before_a_byte_is_sent(
    tmp_path: Path, workshop: Workshop
) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, blink("1.0.0", 140_000), workshop.signing)
    generate_key(tmp_path / "other.key")
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            sent = board.sent
            with pytest.raises(IncompatibleReleaseError, match="this device has a slot of 131072"):
                await deploy(host)
            other = DeviceSigning(load_signer(tmp_path / "other.key"), memory_bytes=2048)
            await publish(fleet, blink("1.1.0"), other)
            with pytest.raises(UntrustedReleaseError, match="signed for devices by the key"):
                await deploy(host)
            await publish(fleet, blink("1.2.0"), DeviceSigning(workshop.key, memory_bytes=200_000))
            with pytest.raises(IncompatibleReleaseError, match="needs 200000 bytes of linear memory"):
                await deploy(host)
            await fleet.publish(blink("1.3.0"))
            with pytest.raises(NotFoundError, match="has no device manifest"):
                await deploy(host, version="1.3.0")
            with pytest.raises(NotFoundError, match="No remote offers a component 'blink'"):
                await deploy(host, "blink")
            assert board.sent - sent < 200  # what it was asked meanwhile: slots and signs of life


async def test_a_manifest_that_a_host_makes_up_is_refused_by_the_device(
    tmp_path: Path, workshop: Workshop
) -> None:
    fleet = Fleet(tmp_path)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            device = host.host.control.bridged.all.get("lamp")  # type: ignore[union-attr]
            generate_key(tmp_path / "own.key")
            signing = DeviceSigning(load_signer(tmp_path / "own.key"), memory_bytes=2048)
            forged = device_manifest(read_component(BLINK), BLINK, signing, 9)
            with pytest.raises(UntrustedReleaseError, match="none of this device's keys"):
                await device.prepare(BLINK, forged, lambda _done, _size: None)
            genuine = device_manifest(read_component(BLINK), BLINK, workshop.signing, 9)
            await device.prepare(BLINK[:-1] + b"!", genuine, lambda _done, _size: None)
            with pytest.raises(UntrustedReleaseError, match="digest"):
                await device.commit()
            assert (await device.slots()).running is None


@pytest.mark.parametrize("part", [1, 3, 5, 7])
async def test_power_that_goes_within_a_transfer_costs_only_what_was_not_there(
    tmp_path: Path, workshop: Workshop, part: int
) -> None:
    fleet = Fleet(tmp_path)
    wasm = blink("1.0.0", 20_000)
    await publish(fleet, wasm, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            board.cut_after = board.sent + part * 2800
            with pytest.raises(UnavailableError):
                await deploy(host)
            await host.until(lambda: not host.host.control.devices().devices()[0]["online"])
            board.start()
            device = await online(host)
            assert running(device) == ""
            have, sent = device["slots"]["have_bytes"] or 0, board.sent
            assert have % 4096 == 0  # whole sectors
            assert have >= (part * 2800 - 1000) // 4096 * 4096 - 4096
            assert running(await deploy(host)) == "device-blink 1.0.0"
            assert board.sent - sent < (len(wasm) - have) * 1.3 + 2000


async def test_a_device_that_begins_anew_or_falls_silent_is_seen(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            bus = host.host.control.manager.bus
            async with asyncio.timeout(20), bus.subscription(_device, backlog=100) as events:
                up_ms = 0
                while up_ms < 600:
                    up_ms = (await anext(events)).details().get("data", {}).get("up_ms", 0)
                await host.request("POST", "/api/host/devices/lamp/reset")
                kinds = {(await anext(events)).type}
                while "edgehost.device.restarted" not in kinds:
                    kinds.add((await anext(events)).type)
                assert "edgehost.device.offline" not in kinds
                board.cut_power()
                while "edgehost.device.offline" not in kinds:
                    kinds.add((await anext(events)).type)
            device = await host.request("GET", "/api/host/devices/lamp")
            assert not device["online"]
            assert "has said nothing" in device["reason"]
            assert device["identity"]["board"] == "posix"  # what is known of it stays
            with pytest.raises(UnavailableError, match="is offline"):
                await host.request("POST", "/api/host/devices/lamp/call/device-blink/set", {"on": True})
            findings = (await host.request("GET", "/api/host/doctor"))["findings"]
            assert any(each["check"] == "device lamp" and each["state"] == "warning" for each in findings)


def _device(event: object) -> bool:
    return isinstance(event, DeviceEvent)


async def test_a_line_is_let_go_while_it_is_flashed(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            devices = host.host.control.bridged.all  # type: ignore[union-attr]
            with pytest.raises(LineBusyError):
                async with SerialLines().open(board.path, LineSettings()):
                    pass
            async with devices.pause(board.path):
                async with SerialLines().open(board.path, LineSettings()):
                    state = (await host.request("GET", "/api/host/devices"))["devices"][0]
                assert (state["online"], state["paused"]) == (False, True)
            await online(host)


async def test_another_board_than_the_configured_one_is_left_alone(
    tmp_path: Path, workshop: Workshop
) -> None:
    fleet = Fleet(tmp_path)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path, 'board = "pico"\n'))) as host:
            await host.until(lambda: "leads to" in host.host.control.devices().devices()[0]["reason"])
            device = await host.request("GET", "/api/host/devices/lamp")
            assert device["reason"].startswith(f"{board.path} leads to a 'posix', and lamp is a 'pico'.")


async def test_the_command_line_sees_calls_and_deploys(
    tmp_path: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)

    async def told(*words: str) -> str:
        assert await asyncio.to_thread(main, [*words, "-c", str(tmp_path)]) == OK
        return capsys.readouterr().out

    wasm = tmp_path / "blink.wasm"
    wasm.write_bytes(BLINK)
    keys = ["--key", str(tmp_path / "only.key"), "--device-key", str(workshop.folder / "device.key")]
    said = await told(
        *("publish", str(tmp_path / "repository"), str(wasm), *keys),
        *("--to", str(tmp_path / "mirror")),
    )
    assert "Signed for devices: device-blink 1.0.0, sequence 1." in said
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            assert (await told("bridge", "deploy", "lamp", "device-blink")) == (
                "lamp runs device-blink 1.0.0.\n"
            )
            assert (
                await told("bridge", "call", "lamp", "device-blink", "set", '{"on": true}') == '{"on":true}\n'
            )
            said = await told("bridge", "ls")
            assert "lamp    online" in said
            assert "device-blink 1.0.0" in said
            said = await told("bridge", "show", "lamp")
            assert "board     posix (native), id 6465766963653031" in said
            assert "lamp on" in await told("bridge", "log", "lamp")
            watched = await told("--json", "bridge", "watch", "lamp", "--count", "1")
            assert json.loads(watched)["type"] == "edgehost.device.telemetry"
            assert "begins anew" in await told("bridge", "reset", "lamp")


async def test_a_host_without_devices_says_so(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        with pytest.raises(NotFoundError, match="This host bridges no devices"):
            await host.request("GET", "/api/host/devices")
        with pytest.raises(RefusedError, match=r"which is the line of devices\.a"):
            fleet.config(more='[devices.a]\nline = "/dev/x"\n[devices.b]\nline = "/dev/x"\n')


async def test_a_port_of_a_model_leads_to_a_component_on_a_device(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, BLINK, workshop.signing)
    await fleet.publish(station({"set": {"direction": "outbound", "service": "light", "retries": 0}}))
    light = '[services.light]\nkind = "device"\ndevice = "lamp"\ncomponent = "device-blink"\nfunctions = ["set"]\n'
    with pytest.raises(RefusedError, match="is no device of this host"):
        fleet.config(more=light)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=light + lamp(board.path))) as host:
            await host.live("station", "1.0.0")
            await online(host)
            await deploy(host)
            rooms = host.host.control.ports
            assert rooms is not None
            model = rooms.models.table.named("station")
            outcome = await invoke_port(rooms, model, "set", None, {"on": True})
            assert outcome.answer == {"on": True}
            with pytest.raises(GuestFailedError, match="say"):
                await invoke_port(rooms, model, "set", None, {"on": 3})
