"""The story of a drone delivery: a workflow that is completed or taken back, whatever happens to its host."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgehost.cli.demo_fleet import REMOTE, DemoFleet, demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.cli.output import Output
from edgehost.domain.errors import NotFoundError, UnavailableError
from remotes.folder_transport import open_folder_transport
from remotes.mirror import mirror_repository
from remotes.mqtt_options import MqttOptions
from remotes.repository import Repository

_COMPONENTS: Final = ("booking", "depot", "courier", "delivery")
_WAIT_S: Final = 20.0
_KNOCK_S: Final = 0.01
_SETTLED: Final = frozenset({"completed", "undone", "stuck"})

_CONFIG: Final = """\
[host]
name = "demo"
data = "data"
config_trial_s = 0  # it is killed on purpose, more often in a minute than a host that is well would be

[api]
tcp_port = 0

[[remotes]]
name = "{remote}"
transport = "folder"
path = "mirror"
root = "root.json"
"""


@dataclass(slots=True)
class DeliveryFigures:
    """Filled in as the story goes on."""

    deliveries: int = 0
    completed: int = 0
    taken_back: int = 0
    half_done: int = 0
    kills: int = 0
    booked_twice: int = 0
    undone_in_reverse: bool = False
    step_each_ms: list[float] = field(default_factory=list)
    resumed_each_ms: list[float] = field(default_factory=list)  # from exec to the end of the workflow
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """One object for ``--json``."""
        return {
            "deliveries": self.deliveries,
            "completed": self.completed,
            "taken_back": self.taken_back,
            "half_done": self.half_done,
            "kills": self.kills,
            "booked_twice": self.booked_twice,
            "undone_in_reverse": self.undone_in_reverse,
            "step_ms": round(statistics.median(self.step_each_ms), 2) if self.step_each_ms else 0.0,
            "resumed_ms": [round(value, 1) for value in self.resumed_each_ms],
            "seconds": round(self.seconds, 1),
            "all_promises_held": self.all_held(),
        }

    def all_held(self) -> bool:
        """Whether the story ended as promised."""
        return (
            self.deliveries == self.completed + self.taken_back > 0
            and self.half_done == self.booked_twice == 0
            and self.undone_in_reverse
            and self.kills > 0
        )

    def lines(self) -> tuple[str, ...]:
        """The outcome for people."""
        resumed = ", ".join(f"{value:.0f}" for value in self.resumed_each_ms)
        rows = (
            (
                "deliveries",
                f"{self.completed} completed, {self.taken_back} taken back, {self.half_done} half done",
            ),
            ("kill -9", f"{self.kills} times; settled {resumed} ms after the next start"),
            ("repeated steps", f"{self.booked_twice} bookings made twice"),
            (
                "one step",
                f"{self.document()['step_ms']} ms, stored before and after, through adapter and service",
            ),
            ("all promises held", "yes" if self.all_held() else "NO"),
        )
        return ("", *(f"{name:<19}{value}" for name, value in rows))


async def tell_delivery(
    folder: Path, out: Output, *, keep: bool, ended: Callable[[DeliveryFigures], None]
) -> DeliveryFigures:
    """A delivery that arrives, one that fails on its way, and hosts that are killed on the way."""
    began = time.perf_counter()
    async with _Story.begun(folder, out) as story:
        await story.goes_live()
        await story.arrives()
        await story.fails_on_its_way()
        await story.killed_on_its_way()
        await story.killed_while_taking_back()
        story.figures.seconds = time.perf_counter() - began
        ended(story.figures)
        if keep:
            await story.host.go_on(out)
    return story.figures


@dataclass(slots=True)
class _Story:
    out: Output
    fleet: DemoFleet
    host: DemoHost
    figures: DeliveryFigures = field(default_factory=DeliveryFigures)

    @classmethod
    @asynccontextmanager
    async def begun(cls, folder: Path, out: Output) -> AsyncIterator[_Story]:
        """Keys, a repository and a folder as its remote; the host is stopped at the end whatever happens."""
        fleet = DemoFleet(folder, MqttOptions("127.0.0.1"))  # no broker: the releases come from a folder
        root = await asyncio.to_thread(fleet.make)
        (folder / "root.json").write_bytes(root.read_bytes())
        (folder / "mirror").mkdir()
        config = folder / "edgehost.toml"
        config.write_text(_CONFIG.format(remote=REMOTE))
        story = cls(out, fleet, DemoHost(config, folder / "data" / "edgehost.sock"))
        try:
            yield story
        finally:
            await story.host.stop()

    def say(self, line: str) -> None:
        """One line of the story."""
        self.out.note(f"* {line}")

    async def goes_live(self) -> None:
        """Four components, and the way that their specifications make."""
        for name in _COMPONENTS:
            published = await asyncio.to_thread(self.fleet.sign, demo_component(f"{name}-1.0.0"))
            async with open_folder_transport(self.fleet.folder / "mirror") as transport:
                await mirror_repository(
                    Repository(self.fleet.repository),
                    transport,
                    fresh=published.fresh,
                    before=published.before,
                )
        await self.host.start()
        await self._until_live()
        graph = await self.host.get("/api/host/workflow", model="delivery")
        onward = {edge["from"]: edge["to"] for edge in graph["edges"]}
        way, at = [], onward.get("", "")
        while at:
            way.append(at.removeprefix("delivery."))
            at = onward.get(at, "")
        self.say("A model, an adapter, a service and its bookings are live; a new delivery goes this way:")
        self.say(f"  {' -> '.join(way)}")

    async def arrives(self) -> None:
        """Everything works."""
        history = await self._settled(await self._order())
        steps = history["steps"]
        self.figures.step_each_ms = [1000 * (step["finished_at"] - step["started_at"]) for step in steps]
        took = 1000 * (steps[-1]["finished_at"] - steps[0]["started_at"])
        self.say(f"The first delivery is {history['state']}: {len(steps)} steps in {took:.0f} ms.")

    async def fails_on_its_way(self) -> None:
        """The drone is lost from sight: everything before is taken back, the last thing first."""
        heard = HeardEvents(self.host.client)
        with heard.listening():
            delivery = await self._order(refuse="track-flight")
            history = await self._settled(delivery)
            await heard.wait_for(
                "edgehost.workflow.moved",
                lambda data: (data["id"], data["state"]) == (delivery, "undone"),
                timeout_s=_WAIT_S,
            )
            undone = [
                data["port"]
                for data in heard.heard("edgehost.workflow.step")
                if data["id"] == delivery and data["state"] == "undone"
            ]
        did = [step["trigger"]["port"] for step in history["steps"] if step["state"] == "undone"]
        self.figures.undone_in_reverse = undone == did[::-1] != []
        self.say(f"The second one fails: {history['reason']}")
        self.say(f"  taken back: {', '.join(undone)}.")

    async def killed_on_its_way(self) -> None:
        """Kill -9 before the step's outcome is known, at several steps; each delivery arrives all the same."""
        for step in ("authorise-payment", "fly-drone", "verify-drop"):
            delivery, history, resumed = await self._killed(step, "running", stall=step)
            attempts = {each["trigger"]["port"]: each["attempts"] for each in history["steps"]}
            self.say(
                f"Killed at '{step}' of {delivery[-6:]}: {history['state']} {resumed:.0f} ms after the next start; "
                f"the step was begun {attempts[step]} times and booked once."
            )

    async def killed_while_taking_back(self) -> None:
        """Kill -9 in the middle of the compensation."""
        _, history, resumed = await self._killed("pick-items", "undoing", refuse="complete-delivery")
        self.say(
            f"Killed while 'pick-items' was taken back: {history['state']} {resumed:.0f} ms after the start."
        )

    async def _killed(self, step: str, state: str, **drill: str) -> tuple[str, Mapping[str, Any], float]:
        heard = HeardEvents(self.host.client)
        with heard.listening():
            delivery = await self._order(**drill)
            await heard.wait_for(
                "edgehost.workflow.step",
                lambda data: (data["id"], data["port"], data["state"]) == (delivery, step, state),
                timeout_s=_WAIT_S,
            )
            await self.host.kill()
        self.figures.kills += 1
        began = time.perf_counter()
        await self.host.start()
        history = await self._settled(delivery)
        self.figures.resumed_each_ms.append((time.perf_counter() - began) * 1000)
        return delivery, history, self.figures.resumed_each_ms[-1]

    async def _order(self, **drill: str) -> str:
        self.figures.deliveries += 1
        body = {"address": "Lighthouse 7", "items": ["tea", "lamp oil"], "drill": drill}
        answer = await asyncio.to_thread(
            self.host.client.request, "POST", "/api/models/deliveries", body=body
        )
        return str(answer.json()["id"])

    async def _settled(self, delivery: str) -> Mapping[str, Any]:
        """The history once the workflow rests; the depot is asked whether anything is left half done."""
        history = await self._history(delivery)
        await self._until_live()
        page = await self.host.get("/api/models/bookings", delivery=delivery)
        held = [(record["data"]["what"], record["data"]["state"]) for record in page["records"]]
        self.figures.booked_twice += len(held) - len(dict(held))
        states = {state for _, state in held}
        if history["state"] == "completed" and states == {"booked"}:
            self.figures.completed += 1
        elif history["state"] == "undone" and states <= {"returned"}:
            self.figures.taken_back += 1
        else:
            self.figures.half_done += 1
        return history

    async def _history(self, delivery: str) -> Mapping[str, Any]:
        until = time.perf_counter() + _WAIT_S
        while time.perf_counter() < until:
            try:
                history: Mapping[str, Any] = await self.host.get(
                    f"/api/host/workflow-history/delivery/{delivery}"
                )
            except NotFoundError:
                history = {"state": ""}
            if history["state"] in _SETTLED:
                return history
            await asyncio.sleep(_KNOCK_S)
        raise UnavailableError(f"The delivery {delivery} is not settled after {_WAIT_S:.0f} s.")

    async def _until_live(self) -> None:
        until = time.perf_counter() + _WAIT_S
        while time.perf_counter() < until:
            status = await self.host.get("/api/host/status")
            if {each["component"] for each in status["components"]} >= set(_COMPONENTS):
                return
            await asyncio.sleep(_KNOCK_S)
        raise UnavailableError("The components of the delivery are not live in time.")
