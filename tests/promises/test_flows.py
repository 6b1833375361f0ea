"""Promises of AEGIS about what happens because something happened, kept through a real host with guests in C:
"common broker for locally shared (in-memory) events", "configuration-based service orchestration", "built-in error
handling (undo)", "WebAssembly workflow - pipe modules together to form control flows", "self-deployment" of handlers
with their releases, and "every write generates an event".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_fleet import demo_component
from edgehost.cli.main import main
from edgehost.config import Config
from edgehost.domain.component_file import embed_spec
from edgehost.domain.errors import EdgehostError, GuestFailedError, InvalidConfigError
from edgehost.domain.events import ComponentNotified, Event, EventsCut, HandlerFailed
from edgehost.domain.workflow_events import FlowMoved as Flow
from tests.journeys.delivery_scene import COMPONENTS, STEPS
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import compiled_file

BELL = Path(__file__).parents[1] / "journeys/flow_guests/bell.c"
SINK = """
[[sinks]]
name = "log"
on = "edgehost.record.**"
to = "file"
path = "events.ndjson"
where = { model = "deliveries-of-tea" }
"""
PIPELINES = """
[pipelines.sum]
steps = ["two.add", "three.add"]
[pipelines.alarm]
steps = ["two.add"]
on = "count.me"
"""


def bell(name: str, *handlers: Mapping[str, Any], version: str = "1.0.0", **config: str) -> bytes:
    return embed_spec(
        compiled_file(BELL),
        {
            "name": name,
            "version": version,
            "kind": "model",
            "model": {"handlers": [{"export": "ring", **each} for each in handlers]},
            "grants": {"functions": ["notify"]},
            "config": {"says": "unset", **config},
            "limits": {"deadline_ms": 5000},
        },
    )


@asynccontextmanager
async def host_of(
    tmp_path: Path, *components: bytes, more: str = ""
) -> AsyncIterator[tuple[Fleet, RunningHost]]:
    fleet = Fleet(tmp_path)
    async with fleet.host(config_of(fleet, more)) as host:
        for each in components:
            await fleet.publish(each)
        live = host.host.control.manager.deployer.ledger.live_components
        await host.until(lambda: len(live()) == len(components))
        yield fleet, host


def config_of(fleet: Fleet, more: str) -> Config:
    return fleet.config(more=more)


def bus_of(host: RunningHost) -> Any:
    return host.host.control.manager.bus


async def tell(host: RunningHost, component: str, name: str, data: Any = None) -> None:
    """Let a component notify something."""
    path = f"/api/host/call/{component}/tell"
    body = json.dumps({"type": name, "data": data}).encode()
    await asyncio.to_thread(host.client.request, "POST", path, content=body)


async def test_common_broker_for_locally_shared_events_components_subscribe_by_pattern_and_notify(
    tmp_path: Path,
) -> None:
    listener = bell("listener", {"on": "gate.*", "where": {"data.by": "eve"}}, says="heard.it")
    async with host_of(tmp_path, bell("teller"), listener) as (_, host):
        async with bus_of(host).subscription(on="heard.*") as heard:
            await tell(host, "teller", "gate.opened", {"by": "bob"})
            await tell(host, "teller", "gate.left.ajar", {"by": "eve"})
            await tell(host, "teller", "gate.opened", {"by": "eve"})
            event = await anext(heard)
        assert isinstance(event, ComponentNotified)
        assert (event.component, event.data) == ("listener", {"heard": "gate.opened"})
        assert event.cause.depth == 1


async def test_a_component_cannot_speak_in_the_name_of_the_host(tmp_path: Path) -> None:
    async with host_of(tmp_path, bell("teller")) as (_, host):
        path = "/api/host/call/teller/tell"
        forged = json.dumps({"type": "edgehost.record.created"}).encode()
        answer = await asyncio.to_thread(host.client.request, "POST", path, content=forged)
        assert "the host's own events" in answer.json()["error"]["message"]
        assert bus_of(host).last("edgehost.record.*", 1) == ()


async def test_two_components_that_trigger_each_other_are_cut_and_the_host_says_so(tmp_path: Path) -> None:
    ping = bell("ping", {"on": "pong"}, says="ping")
    pong = bell("pong", {"on": "ping"}, says="pong")
    async with host_of(tmp_path, ping, pong) as (_, host):
        async with (
            bus_of(host).subscription(on="edgehost.events.cut") as cuts,
            bus_of(host).subscription(on="*", backlog=1000) as noise,
        ):
            await tell(host, "ping", "ping")
            cut = await anext(cuts)
            assert isinstance(cut, EventsCut)
            assert (cut.reason, cut.depth) == ("depth", 33)
            heard: list[Event] = [await anext(noise) for _ in range(34)]
            assert [event.cause.depth for event in heard] == list(range(34))
        status = await host.request("GET", "/api/host/status")
        assert all(each["faults"] == 0 for each in status["components"])


async def test_an_event_storm_is_cut_by_the_number_that_one_event_leads_to(tmp_path: Path) -> None:
    storm = bell("storm", {"on": "go"}, says="go", times="30")
    async with host_of(tmp_path, storm, more="[events]\nstorm = 200\n") as (_, host):
        async with bus_of(host).subscription(on="edgehost.events.cut") as cuts:
            await tell(host, "storm", "go")
            cut = await anext(cuts)
            assert isinstance(cut, EventsCut)
            assert cut.reason == "storm"
        answer = await host.request("GET", "/api/host/status")
        assert answer["components"][0]["calls"] < 300


async def test_a_component_that_publishes_without_end_is_refused_at_a_rate_and_the_host_says_so(
    tmp_path: Path,
) -> None:
    loud = bell("loud", {"on": "go"}, says="noise", times="100")
    async with host_of(tmp_path, loud, more="[events]\nnotify_per_s = 20\n") as (_, host):
        async with (
            bus_of(host).subscription(on="edgehost.events.cut") as cuts,
            bus_of(host).subscription(on="edgehost.handler.failed") as failures,
        ):
            await tell(host, "loud", "go")
            cut = await anext(cuts)
            assert isinstance(cut, EventsCut)
            assert (cut.reason, cut.about) == ("rate", "loud")
            assert (await anext(failures)).details()["code"] == "guest-failed"
        assert len(bus_of(host).last("noise", 100)) < 40


async def test_a_handler_that_fails_counts_against_its_release_and_is_told(tmp_path: Path) -> None:
    async with host_of(tmp_path, bell("teller"), bell("frail", {"on": "break"})) as (_, host):
        async with bus_of(host).subscription(on="edgehost.handler.failed") as failures:
            await tell(host, "teller", "break")
            failed = await anext(failures)
        assert isinstance(failed, HandlerFailed)
        assert (failed.component, failed.name, failed.code) == ("frail", "break", "guest-trap")
        status = await host.request("GET", "/api/host/status")
        assert {each["component"]: each["faults"] for each in status["components"]}["frail"] == 1


async def test_handlers_come_and_go_with_their_release_at_once(tmp_path: Path) -> None:
    old = bell("listener", {"on": "gate.*"}, says="old.heard")
    new = bell("listener", {"on": "door.*", "replay": 10}, version="1.1.0", says="new.heard")
    async with host_of(tmp_path, bell("teller"), old) as (fleet, host):
        async with bus_of(host).subscription(on="*.heard") as heard:
            await tell(host, "teller", "door.opened")
            await tell(host, "teller", "gate.opened")
            first = await anext(heard)
            await fleet.publish(new)
            replayed = await anext(heard)
            await tell(host, "teller", "gate.opened")
            await tell(host, "teller", "door.closed")
            last = await anext(heard)
        said = [(event.names[0], event.details()["data"]["heard"]) for event in (first, replayed, last)]
        assert said == [
            ("old.heard", "gate.opened"),
            ("new.heard", "door.opened"),
            ("new.heard", "door.closed"),
        ]


async def test_every_write_makes_an_event_that_configuration_forwards_to_a_sink(tmp_path: Path) -> None:
    sink = SINK.replace("deliveries-of-tea", "teller")
    async with host_of(tmp_path, bell("teller"), bell("other"), more=sink) as (_, host):
        record = await host.request("POST", "/api/models/teller", {"n": 1})
        await host.request("POST", "/api/models/other", {"n": 1})
        await host.request("PATCH", f"/api/models/teller/{record['id']}", {"n": 2})
        await host.request("DELETE", f"/api/models/teller/{record['id']}")
        path = tmp_path / "events.ndjson"
        async with asyncio.timeout(10):
            while len(lines := _lines(path)) < 3:
                await asyncio.sleep(0.01)
    assert [line["type"].rpartition(".")[2] for line in lines] == ["created", "updated", "deleted"]
    assert {line["data"]["model"] for line in lines} == {"teller"}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_sink_to_a_service_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    config = config_of(fleet, '[[sinks]]\nname = "far"\nto = "nowhere"\n')
    with pytest.raises(InvalidConfigError, match="no service of this host"):
        async with fleet.host(config):
            pass


async def test_webassembly_workflow_pipes_modules_together_to_form_control_flows(tmp_path: Path) -> None:
    parts = (bell("teller"), bell("two", adds="2"), bell("three", adds="3"))
    async with host_of(tmp_path, *parts, more=PIPELINES) as (_, host):
        path = "/api/host/pipeline/sum"
        answer = await asyncio.to_thread(host.client.request, "POST", path, content=b'{"n": 1}')
        assert answer.json() == {"n": 6}
        with pytest.raises(GuestFailedError, match=r"Step 1 of 'sum', two\.add"):
            await asyncio.to_thread(host.client.request, "POST", path, content=b'{"n": "x"}')
        async with bus_of(host).subscription(on="edgehost.pipeline.ended") as ends:
            await tell(host, "teller", "count.me")
            ended = (await anext(ends)).details()
        assert (ended["pipeline"], ended["code"]) == ("alarm", "guest-failed")  # an event holds no n
        listed = await host.request("GET", "/api/host/pipelines")
        assert [each["name"] for each in listed["pipelines"]] == ["alarm", "sum"]


async def test_configuration_based_service_orchestration_is_shown_run_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [demo_component(f"{name}-1.0.0") for name in COMPONENTS]
    async with host_of(tmp_path, *parts) as (_, host):
        async with bus_of(host).subscription(on="edgehost.workflow.moved") as moves:
            record = await host.request(
                "POST", "/api/models/deliveries", {"address": "Lighthouse 7", "items": ["tea"]}
            )
            assert await _state(moves) == "completed"
            shown = await _command(host, "workflow", "show", "delivery", capsys=capsys)
            assert [node["port"].partition(".")[2] for node in shown["nodes"]][: len(STEPS)] == list(STEPS)
            assert shown["mermaid"].startswith("flowchart TD")
            history = await _command(host, "workflow", "history", "delivery", record["id"], capsys=capsys)
            assert [step["trigger"]["port"] for step in history["steps"]] == list(STEPS)
            await _command(host, "workflow", "undo", "delivery", record["id"], capsys=capsys)
            assert [await _state(moves), await _state(moves)] == ["undoing", "undone"]
        history = await _command(host, "workflow", "history", "delivery", record["id"], capsys=capsys)
        assert {step["state"] for step in history["steps"]} == {"undone"}
        held = await host.request("GET", "/api/models/bookings")
        assert {booking["data"]["state"] for booking in held["records"]} == {"returned"}


async def _state(moves: AsyncIterator[Event]) -> str:
    async with asyncio.timeout(20):
        moved = await anext(moves)
    assert isinstance(moved, Flow)
    return moved.state


async def _command(host: RunningHost, *words: str, capsys: pytest.CaptureFixture[str]) -> Any:
    config = str(host.host.config.path)
    assert await asyncio.to_thread(main, ["-c", config, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


async def test_ports_that_lead_to_each_other_in_a_circle_are_not_deployed(tmp_path: Path) -> None:
    """The first component is alone and well; the second would close the circle, and stays on the shelf."""

    def half(name: str, consumes: str, produces: str) -> bytes:
        port = {"direction": "inbound", "export": "add", "consumes": consumes, "produces": produces}
        document = {"name": name, "version": "1.0.0", "kind": "model", "model": {"ports": {"go": port}}}
        return embed_spec(compiled_file(BELL), document | {"grants": {"functions": ["notify"]}})

    async with host_of(tmp_path, half("one", "a.b", "b.c")) as (fleet, host):
        await fleet.publish(half("two", "b.c", "a.b"))
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: any(each.component == "two" for each in ledger.all()))
        with pytest.raises(EdgehostError, match="circle: "):
            await host.request("POST", "/api/host/deploy", {"component": "two"})
        assert host.live_version("two") == ""
        assert host.live_version("one") == "1.0.0"
