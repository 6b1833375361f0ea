"""The drone delivery on a real host: its components, and what must be true of a delivery at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from edgehost.cli.demo_fleet import demo_component
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.errors import NotFoundError
from tests.journeys.fleet import Fleet

COMPONENTS = ("booking", "depot", "courier", "delivery")
STEPS = (
    "validate-address",
    "authorise-payment",
    "pick-items",
    "fly-drone",
    "track-flight",
    "verify-drop",
    "complete-delivery",
)
BOOKED = STEPS[:-1]


async def publish_delivery(fleet: Fleet) -> None:
    for name in COMPONENTS:
        await fleet.publish(demo_component(f"{name}-1.0.0"))


async def started_delivery_host(fleet: Fleet) -> DemoHost:
    """A host in a process of its own with all four components live."""
    config = fleet.config()
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    await host.start()
    await until_live(host)
    return host


async def until_live(host: DemoHost) -> None:
    async with asyncio.timeout(30):
        while True:
            status = await host.get("/api/host/status")
            if {each["component"] for each in status["components"]} >= set(COMPONENTS):
                return
            await asyncio.sleep(0.02)


async def ordered(host: DemoHost, **drill: str) -> str:
    """A new delivery; returns its id."""
    body = {"address": "Lighthouse 7", "items": ["tea"], "drill": drill}
    answer = await asyncio.to_thread(host.client.request, "POST", "/api/models/deliveries", body=body)
    return str(answer.json()["id"])


async def settled(host: DemoHost, delivery: str, *, timeout_s: float = 30) -> dict[str, Any]:
    """The port history once nothing is left to do."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                history: dict[str, Any] = await host.get(f"/api/host/workflow-history/delivery/{delivery}")
            except NotFoundError:
                await asyncio.sleep(0.02)
                continue
            if history["state"] in {"completed", "undone", "stuck"}:
                return history
            await asyncio.sleep(0.02)


async def bookings(host: DemoHost, delivery: str) -> dict[str, str]:
    """What the depot holds for the delivery, by step."""
    page = await host.get("/api/models/bookings", delivery=delivery)
    found = [(each["data"]["what"], each["data"]["state"]) for each in page["records"]]
    assert max(Counter(what for what, _ in found).values(), default=1) == 1, found
    return dict(found)


async def require_whole(host: DemoHost, delivery: str) -> str:
    """Completed with every booking, or taken back with none: never half."""
    history = await settled(host, delivery)
    held = await bookings(host, delivery)
    if history["state"] == "completed":
        assert held == dict.fromkeys(BOOKED, "booked")
        assert [step["state"] for step in history["steps"]] == ["done"] * len(STEPS)
    else:
        assert history["state"] == "undone", history
        assert set(held.values()) <= {"returned"}, held
    return str(history["state"])
