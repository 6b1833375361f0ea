"""A host in a fleet, read and commanded by mosquitto_sub and mosquitto_pub alone."""

from __future__ import annotations

from pathlib import Path

from edgehost.adapters.broker.embedded_broker import open_broker
from tests.adapters.fleet.fleet_scene import ROOT, Tools, fleet_host
from tests.journeys.fleet import Fleet, telemetry


async def test_a_host_shows_itself_and_takes_a_command_from_mosquitto_pub(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard() as heard:
            async with fleet_host(fleet, broker) as host:
                await heard.until(f"{ROOT}/status", lambda status: status["status"] == "online")
                await fleet.publish(telemetry("1.0.0"))
                await host.live("telemetry", "1.0.0")
                await fleet.publish(telemetry("1.0.1"))
                await host.live("telemetry", "1.0.1")
                await heard.until(
                    f"{ROOT}/twin/components",
                    lambda twin: twin.get("telemetry", {}).get("version") == "1.0.1",
                )
                await tools.publish(
                    f"{ROOT}/cmd/rollback/first", {"status": "init", "arguments": {"component": "telemetry"}}
                )
                outcome = await heard.final(f"{ROOT}/cmd/rollback/first")
                assert outcome["status"] == "successful"
                assert outcome["result"]["version"] == "1.0.0"
                assert host.live_version("telemetry") == "1.0.0"
                shown = await tools.retained()
                assert shown[ROOT]["id"] == "journey"
                assert shown[f"{ROOT}/cmd/deploy"]["arguments"]
                assert shown[f"{ROOT}/twin/sandbox"]
            await heard.until(f"{ROOT}/status", lambda status: status["status"] == "offline")


async def test_a_host_of_the_same_name_keeps_silent_and_both_say_so(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    first, second = Fleet(tmp_path / "first"), Fleet(tmp_path / "second")
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        events = tools.heard(f"{ROOT}/e/#")
        async with tools.heard() as heard, events as told_events, fleet_host(first, broker) as one:
            boot = (await heard.until(f"{ROOT}/status"))["boot"]
            async with fleet_host(second, broker) as two:
                await heard.until(f"{ROOT}/a/namesake", lambda alarm: "process" in alarm["text"])
                told = await told_events.until(
                    f"{ROOT}/e/edgehost.fleet.duplicate-host", lambda event: "boot" in event
                )
                assert (told["host"], told["yields"]) == ("journey", True)  # the younger one's own voice
                for host, role in ((one, "It speaks for the name"), (two, "It keeps silent")):
                    findings = (await host.request("GET", "/api/host/doctor"))["findings"]
                    (found,) = [each for each in findings if each["check"] == "namesake"]
                    assert (found["state"], role in found["detail"]) == ("failed", True)
                await tools.publish(f"{ROOT}/cmd/logs/x", {"status": "init", "arguments": {}})
                assert (await heard.final(f"{ROOT}/cmd/logs/x"))["boot"] == boot
            assert (await tools.retained())[f"{ROOT}/status"]["boot"] == boot
            assert (await tools.retained())[f"{ROOT}/status"]["status"] == "online"


async def test_a_host_without_its_broker_serves_and_says_what_is_wrong(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with open_broker(kind="mosquitto") as broker:
        await broker.stop()
        async with fleet_host(fleet, broker) as host:
            await host.live("telemetry", "1.0.0")
            findings = (await host.request("GET", "/api/host/doctor"))["findings"]
            (found,) = [each for each in findings if each["check"] == "fleet"]
            assert found["state"] == "warning"
            await broker.start()
            async with Tools(broker).heard() as heard:
                await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
