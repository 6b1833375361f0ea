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
                await heard.until(f"{ROOT}/cmd/rollback/first", lambda state: state["status"] == "executing")
                outcome = await heard.final(f"{ROOT}/cmd/rollback/first")
                assert outcome["status"] == "successful"
                assert outcome["result"]["version"] == "1.0.0"
                assert host.live_version("telemetry") == "1.0.0"
                shown = await tools.retained()
                assert shown[ROOT]["id"] == "journey"
                assert shown[f"{ROOT}/cmd/deploy"]["arguments"]
                assert shown[f"{ROOT}/twin/sandbox"]
            await heard.until(f"{ROOT}/status", lambda status: status["status"] == "offline")
