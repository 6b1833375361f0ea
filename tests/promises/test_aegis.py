"""Promises of AEGIS about WebAssembly, kept through a real host: "language independence", "support for WebAssembly
modules as models, adapters, services", and its existing modules run as they are.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import GuestFailedError, GuestTrapError, NotFoundError
from edgehost.domain.events import Event
from edgehost.domain.port_events import PortFailed, PortSucceeded
from edgehost.usecases.build_component import build_component
from tests.journeys.fleet import Fleet
from tests.journeys.guest_scenes import committed

COUNTER = committed("aegis-counter")
COUNTERS = "/api/models/counters"


async def test_language_independence_an_assemblyscript_module_is_a_model_by_what_its_getters_say(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(COUNTER)
    async with fleet.host() as host:
        await host.live("aegis-counter", "1.0.0")
        made = await host.request(
            "POST", COUNTERS, body={"name": "Zo\u00eb \U0001f600", "step": 3, "more": [1]}
        )
        assert made["data"] == {
            "name": "Zo\u00eb \U0001f600",
            "count": 0,
            "step": 3,
            "open": True,
            "changes": 0,
            "fibonacci": 10,
            "result": 0,
        }
        one = f"{COUNTERS}/{made['id']}"
        counted = await host.request("POST", f"{one}/commands/increment", body={"by": 4})
        assert counted["result"] == {"count": 4, "by": 4}
        assert (await host.request("GET", one))["data"]["count"] == 4
        pushed = await host.request("POST", f"{one}/ports/push", body={})
        assert pushed["result"]["count"] == 7
        changed = await host.request("PATCH", one, body={"step": 1})
        assert changed["data"]["changes"] >= 1
        assert changed["data"]["count"] == 7


async def test_a_webassembly_model_guards_its_records_in_its_own_convention(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(COUNTER)
    async with fleet.host() as host:
        await host.live("aegis-counter", "1.0.0")
        with pytest.raises(GuestFailedError, match="a counter needs a name"):
            await host.request("POST", COUNTERS, body={"name": ""})
        made = await host.request("POST", COUNTERS, body={"name": "door", "count": 2})
        one = f"{COUNTERS}/{made['id']}"
        with pytest.raises(GuestFailedError, match="a step of more than 100000"):
            await host.request("PATCH", one, body={"step": 1_000_000})
        with pytest.raises(GuestFailedError, match="it has counted"):
            await host.request("DELETE", one)
        with pytest.raises(GuestTrapError, match=r"fibonacci must be 0 to 25 in counter.ts"):
            await host.request("POST", f"{one}/commands/run-fibonacci", body={"fibonacci": 26})
        result = await host.request("POST", f"{one}/commands/run-fibonacci", body={"fibonacci": 20})
        assert result["result"] == {"fibonacci": 20, "result": 6765}
        await host.request("PATCH", one, body={"count": 0})
        await host.request("DELETE", one)
        with pytest.raises(NotFoundError):
            await host.request("GET", one)


async def test_existing_modules_run_unmodified_with_four_lines_of_component_toml(tmp_path: Path) -> None:
    lines: list[str] = []
    document: dict[str, Any] = {"name": "old", "version": "2.0.0", "kind": "model", "abi": "aegis"}
    async with open_sandbox_factory() as sandboxes:
        component = await build_component(
            document,
            COUNTER,
            toolchain=WasmTools(),
            sandboxes=sandboxes,
            log=lambda _component, _level, line: lines.append(line),
        )
    assert lines == []
    fleet = Fleet(tmp_path)
    await fleet.publish(component)
    async with fleet.host() as host:
        await host.live("old", "2.0.0")
        made = await host.request("POST", COUNTERS, body={"name": "door", "count": 1, "step": 2})
        # Without a schema a number stays one when it comes back as it was sent; the module's own are strings.
        assert made["data"]["count"] == 1
        assert made["data"]["changes"] == "0"
        counted = await host.request("POST", f"{COUNTERS}/{made['id']}/commands/increment", body={})
        assert counted["result"]["count"] == "3.0"


async def test_support_for_webassembly_modules_as_adapters_and_services(tmp_path: Path) -> None:
    """One module in three roles: the model's port ``announce`` goes through the adapter of that name."""
    fleet = Fleet(tmp_path)
    async with open_sandbox_factory() as sandboxes:
        for document in (
            {"name": "announce", "kind": "adapter", "adapter": {"export": "describe"}},
            {"name": "numbers", "kind": "service", "service": {"export": "runFibonacci"}},
        ):
            whole = {"version": "1.0.0", "abi": "aegis", **document}
            await fleet.publish(
                await build_component(whole, COUNTER, toolchain=WasmTools(), sandboxes=sandboxes)
            )
    await fleet.publish(COUNTER)
    async with fleet.host() as host:
        for component in ("aegis-counter", "announce", "numbers"):
            await host.live(component, "1.0.0")
        said = await host.request("POST", "/api/host/call/numbers/runFibonacci", body={"fibonacci": 20})
        assert said == {"fibonacci": 20, "result": "6765.0"}
        made = await host.request("POST", COUNTERS, body={"name": "door"})
        bus = host.host.control.manager.bus
        async with asyncio.timeout(10), bus.subscription(_announced, backlog=100) as events:
            await host.request("POST", f"{COUNTERS}/{made['id']}/ports/push", body={"by": 2})
            event = await anext(events)
        # The port heard counter-changed, which push produces; the adapter described the record; the model's own
        # callback took that and answered the port.
        assert isinstance(event, PortSucceeded)
        assert (event.port, event.event, event.id) == ("announce", "counter-announced", made["id"])
        assert event.answer == {"open": True}


def _announced(event: Event) -> bool:
    return isinstance(event, PortSucceeded | PortFailed) and event.port == "announce"
