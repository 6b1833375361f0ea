"""Orders to a rollout that name what is not there are refused; what may still come can be ordered ahead."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from edgehost.adapters.broker.embedded_broker import open_broker
from tests.adapters.fleet.fleet_scene import Tools
from tests.journeys.fleet import Fleet
from tests.journeys.test_deployments import deploy, state
from tests.journeys.test_fleet_command_line import Laptop, host, yard

__all__ = ("yard",)  # a fixture, found by its name

LATE = ("--timeout", "20")


async def test_numbers_that_do_not_exist_are_refused_with_those_that_do(yard: Fleet, tmp_path: Path) -> None:
    wanted = {
        "name": "spring",
        "components": {"telemetry": {"version": "=1.0.0"}},
        "rollout": {"waves": [0.5, 1], "approve": [0]},
    }
    await deploy(yard, wanted)
    async with open_broker(kind="mosquitto") as broker, AsyncExitStack() as stack:
        known = {"id": "one", "class": "generic", "labels": {}}  # so that it need not wait for others there
        await Tools(broker).publish("edgehost/yard/one", known)
        one = await stack.enter_async_context(host(yard, broker, "one", "north"))
        laptop = Laptop(tmp_path, broker)
        async with Tools(broker).heard("edgehost/yard/one/twin/deployment/spring") as heard:
            await heard.until("edgehost/yard/one/twin/deployment/spring", lambda twin: twin["waves"] == 2)

        unknown = await laptop.run("halt", "spring", "--sequence", "33", code=5)
        assert unknown["error"]["message"] == "No host reports sequence 33 of spring; they report sequence 1."
        wave = await laptop.run("approve", "spring", "--wave", "2", code=5)
        assert wave["error"]["message"] == "Sequence 1 of spring has waves 0 to 1; there is no wave 2."
        assert await Tools(broker).retained("edgehost/yard/_rollout/+") == {}  # neither was given

        said = await laptop.said("approve", "spring", "--sequence", "2", "--wave", "0", "--ahead", *LATE)
        assert said[-1] == (
            "one: This host has not taken in sequence 2 of spring; it has 1. The order holds when it does."
        )
        assert state(one, "spring") == "waiting 1"
        await deploy(yard, wanted)
        await one.until(lambda: state(one, "spring") == "successful 2")

        old = await laptop.run("halt", "spring", "--sequence", "1", "--ahead", *LATE, code=1)
        assert [each["reason"] for each in old["answers"]] == [
            "This host has sequence 2 of spring; 1 is not there any more."
        ]
