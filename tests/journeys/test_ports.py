"""A model's ports through a real host: guests in C, adapters bound at run time, a server that fails."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from edgehost.domain.errors import (
    CircuitOpenError,
    DeadlineExceededError,
    NotFoundError,
    PortTimeoutError,
    UnavailableError,
)
from edgehost.domain.port_events import PortFailed, PortSucceeded
from edgehost.usecases.answer_port import answer_port
from edgehost.usecases.invoke_port import invoke_port, undo_port
from tests.journeys.fleet import Fleet
from tests.journeys.port_fleet import (
    FORECAST,
    PLACE,
    SERVICES,
    made,
    oracle,
    rooms_of,
    running,
    station,
    translator,
)
from tests.journeys.weather_server import Weather
from tests.usecases.deploy_scene import StillClock


async def test_a_port_reaches_the_world_through_a_wasm_adapter_and_a_host_service(
    tmp_path: Path, weather: Weather
) -> None:
    ports = {"forecast": FORECAST | {"keys": ["temperature"], "produces": "forecast.came"}}
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        record = await made(host, name="roof")
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, PortSucceeded)) as told:
            said = await host.request("POST", f"/api/models/stations/{record.id}/commands/refresh", PLACE)
            fact = await anext(told)
        assert said["result"]["ok"]["answer"] == {"temperature": 7.5, "by": "translator"}
        assert said["result"]["ok"]["record"]["data"] == {"name": "roof", "temperature": 7.5}
        assert weather.asked == ["Berlin Mitte"]
        assert isinstance(fact, PortSucceeded)
        assert (fact.subject, fact.event) == (f"station/forecast/{record.id}", "forecast.came")
        assert fact.names[0] == "forecast.came"


async def test_a_wasm_service_takes_the_place_of_a_host_service(tmp_path: Path, weather: Weather) -> None:
    async with running(
        tmp_path, weather, translator(service="oracle"), oracle(), station({"forecast": FORECAST})
    ) as host:
        rooms, model = rooms_of(host)
        outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert outcome.answer == {"temperature": 20, "by": "translator"}
        assert weather.asked == []


async def test_a_port_without_an_adapter_reaches_its_service_directly(
    tmp_path: Path, weather: Weather
) -> None:
    ports = {"get": {"direction": "outbound", "service": "weather"}}
    async with running(tmp_path, weather, station(ports)) as host:
        rooms, model = rooms_of(host)
        outcome = await invoke_port(rooms, model, "get", None, {"url": "weather?place=Here"})
        assert outcome.answer["json"] == {"temperature": 7.5}
        assert weather.asked == ["Here"]


async def test_rebinding_under_load_loses_no_call_and_outlives_a_restart(
    tmp_path: Path, weather: Weather
) -> None:
    adapters = [translator("translator", service="weather"), translator("second", service="weather")]
    fleet = Fleet(tmp_path)
    for content in (*adapters, oracle(), station({"forecast": FORECAST | {"retries": 0}})):
        await fleet.publish(content)
    config = fleet.config(more=SERVICES.format(url=weather.url, port=weather.port))
    answers: list[Any] = []
    async with fleet.host(config) as host:
        deployer = host.host.control.manager.deployer
        await host.until(lambda: len(deployer.running.all()) == 4)
        rooms, model = rooms_of(host)
        enough = asyncio.Event()

        async def calls() -> None:
            while not enough.is_set():
                outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
                answers.append((outcome.answer["by"], outcome.answer["temperature"]))

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(calls(), name=f"load.{number}")
            for what, target in (
                ("station.forecast", "second"),
                ("second", "oracle"),
                ("station.forecast", "translator"),
                ("station.forecast", "second:weather"),
                ("station.forecast", "second"),
            ):
                before = len(answers)
                await host.request("POST", "/api/host/bindings", {"what": what, "target": target})
                while len(answers) < before + 30:
                    await asyncio.sleep(0)
            enough.set()
        assert set(answers) == {
            ("translator", 7.5),
            ("second", 7.5),
            ("second", 20),
        }
        assert answers[-1] == ("second", 20)
    async with fleet.host(config) as host:
        rooms, model = rooms_of(host)
        outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert outcome.answer == {"temperature": 20, "by": "second"}
        document = await host.request(
            "POST", "/api/host/bindings", {"what": "station.forecast", "target": ""}
        )
        assert document["ports"][0]["adapter"] == "translator"


async def test_a_call_that_has_begun_finishes_on_its_old_binding(tmp_path: Path, weather: Weather) -> None:
    weather.stuck = threading.Event()
    async with running(
        tmp_path, weather, translator(service="weather"), oracle(), station({"forecast": FORECAST})
    ) as host:
        rooms, model = rooms_of(host)
        begun = asyncio.create_task(invoke_port(rooms, model, "forecast", None, PLACE))
        await asyncio.to_thread(weather.came.wait, 10)
        await rooms.bindings.bind("translator", "oracle")
        after = await invoke_port(rooms, model, "forecast", None, PLACE)
        weather.stuck.set()
        assert after.answer["temperature"] == 20
        assert (await begun).answer["temperature"] == 7.5


async def test_the_configuration_binds_what_the_component_does_not(tmp_path: Path, weather: Weather) -> None:
    bindings = '[bindings]\n"station.forecast" = "second"\nsecond = "weather"\n'
    async with running(
        tmp_path, weather, translator("second"), station({"forecast": FORECAST}), more=bindings
    ) as host:
        rooms, model = rooms_of(host)
        outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert outcome.answer == {"temperature": 7.5, "by": "second"}
        (port,) = (await host.request("GET", "/api/host/bindings"))["ports"]
        assert (port["adapter_by"], port["service_by"], port["there"]) == ("config", "config", True)


async def test_the_command_line_shows_and_changes_bindings(
    tmp_path: Path, weather: Weather, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(
        tmp_path, weather, translator(service="weather"), oracle(), station({"forecast": FORECAST})
    ):

        async def bind(*words: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, ["-c", str(tmp_path / "edgehost.toml"), "bind", *words])
            return code, *capsys.readouterr()

        code, listed, _ = await bind()
        assert code == 0
        assert "station.forecast" in listed
        assert "declared" in listed
        code, said, _ = await bind("translator", "oracle", "--json")
        assert code == 0
        assert json.loads(said)["bound"] == {"translator": "oracle"}
        code, _, wrong = await bind("station.forecast", "transaltor")
        assert code != 0
        assert "translator" in wrong
        assert (await bind("translator", "--back"))[0] == 0
        assert (await bind("translator"))[0] != 0


async def test_a_time_out_really_ends_the_call_and_costs_the_adapter_no_fault(
    tmp_path: Path, weather: Weather
) -> None:
    weather.stuck = threading.Event()
    ports = {"forecast": FORECAST | {"timeout_ms": 300, "retries": 1}}
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        rooms, model = rooms_of(host)
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, PortFailed)) as told:
            with pytest.raises(PortTimeoutError):
                await invoke_port(rooms, model, "forecast", None, PLACE)
            fact = await anext(told)
        assert isinstance(fact, PortFailed)
        assert (fact.code, fact.tries) == ("port-timeout", 2)
        adapter = host.host.control.manager.deployer.running.require("translator")
        assert adapter.conduct.faults == 0
        weather.stuck.set()
        outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert outcome.answer["temperature"] == 7.5
        assert {each["state"] for each in adapter.pool.instances()} <= {"idle", "ending"}


async def test_a_guest_hears_of_a_port_that_does_not_answer_before_its_own_time_is_up(
    tmp_path: Path, weather: Weather
) -> None:
    weather.stuck = threading.Event()
    rule = {"call_volume": 1, "error_rate": 0.0}
    ports = {"forecast": FORECAST | {"breaker": {"port-timeout": rule, "unavailable": rule}}}
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        record = await made(host, name="roof")
        path = f"/api/models/stations/{record.id}/commands/refresh"
        said = await host.request("POST", path, PLACE)
        assert said["result"]["error"]["code"] == "port-timeout"
        said = await host.request("POST", path, PLACE)
        assert said["result"]["error"]["code"] == "circuit-open"


async def test_an_adapter_hears_of_a_service_that_does_not_answer_and_is_no_worse_for_it(
    tmp_path: Path, weather: Weather
) -> None:
    weather.stuck = threading.Event()
    slow = translator(service="weather", deadline_ms=400)
    ports = {"forecast": FORECAST | {"retries": 0}}
    async with running(tmp_path, weather, slow, station(ports)) as host:
        rooms, model = rooms_of(host)
        with pytest.raises(UnavailableError, match="translator: "):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        adapter = host.host.control.manager.deployer.running.require("translator")
        assert adapter.conduct.faults == 0


async def test_a_breaker_opens_answers_by_its_fallback_and_recovers(tmp_path: Path, weather: Weather) -> None:
    rule = {"call_volume": 4, "error_rate": 0.5, "retest_ms": 5000, "fallback": "guess"}
    ports = {"forecast": FORECAST | {"retries": 0, "breaker": {"default": rule}}}
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        rooms, model = rooms_of(host)
        clock = StillClock()
        object.__setattr__(rooms.keeping, "clock", clock)
        weather.status = 503
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await invoke_port(rooms, model, "forecast", None, PLACE)
        opening = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert opening.fallback
        guessed = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert guessed.answer == {"temperature": 15, "guessed": True}
        assert guessed.fallback
        assert len(weather.asked) == 4
        weather.status = 200
        clock.pass_by(5.1)
        assert (await invoke_port(rooms, model, "forecast", None, PLACE)).answer["temperature"] == 7.5
        (port,) = (await host.request("GET", "/api/host/bindings"))["ports"]
        assert port["breakers"]["default"]["position"] == "closed"


async def test_an_open_breaker_without_a_fallback_refuses_at_once(tmp_path: Path, weather: Weather) -> None:
    rule = {"call_volume": 2, "error_rate": 0.0}
    ports = {"forecast": FORECAST | {"retries": 5, "breaker": {"unavailable": rule}}}
    async with running(tmp_path, weather, translator(service="weather"), oracle(), station(ports)) as host:
        rooms, model = rooms_of(host)
        weather.status = 500
        with pytest.raises(UnavailableError):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        assert len(weather.asked) == 2
        with pytest.raises(CircuitOpenError, match="left alone"):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        assert len(weather.asked) == 2
        findings = (await host.request("GET", "/api/host/doctor"))["findings"]
        assert any(each["check"] == "port station.forecast" for each in findings)


async def test_a_callback_takes_the_answer_and_one_that_never_returns_is_ended(
    tmp_path: Path, weather: Weather
) -> None:
    ports = {
        "forecast": FORECAST | {"callback": "noted"},
        "stuck": FORECAST | {"callback": "forever"},
    }
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        rooms, model = rooms_of(host)
        record = await made(host, name="roof")
        outcome = await invoke_port(rooms, model, "forecast", record, PLACE)
        assert outcome.answer == "noted"
        assert outcome.record is not None
        assert outcome.record.data == {"noted": {"temperature": 7.5, "by": "translator"}}
        asked = len(weather.asked)
        with pytest.raises(DeadlineExceededError):
            await invoke_port(rooms, model, "stuck", outcome.record, PLACE)
        assert len(weather.asked) == asked + 1  # the world was asked once, however the callback ends
        again = await invoke_port(rooms, model, "forecast", outcome.record, PLACE)
        assert again.answer == "noted"


async def test_an_inbound_port_answers_and_stores_what_came(tmp_path: Path, weather: Weather) -> None:
    ports = {
        "report": {"direction": "inbound"},
        "hear": {"direction": "inbound", "export": "guess", "keys": ["temperature"]},
    }
    async with running(tmp_path, weather, station(ports)) as host:
        rooms, model = rooms_of(host)
        created = await answer_port(rooms, model, "report", None, {"name": "new"})
        assert created.answer == {"heard": {"name": "new"}}
        assert created.record is not None
        changed = await answer_port(rooms, model, "report", created.record.id, {"name": "newer"})
        assert changed.record is not None
        assert (changed.record.id, changed.record.data) == (created.record.id, {"name": "newer"})
        with pytest.raises(NotFoundError):
            await answer_port(rooms, model, "report", "nobody", {})
        with pytest.raises(NotFoundError):
            await invoke_port(rooms, model, "report", None, {})


async def test_many_calls_of_an_inbound_port_on_one_record_take_turns(
    tmp_path: Path, weather: Weather
) -> None:
    async with running(tmp_path, weather, station({"report": {"direction": "inbound"}})) as host:
        rooms, model = rooms_of(host)
        record = await made(host, name="roof")
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(answer_port(rooms, model, "report", record.id, {"n": number}))
        assert (await rooms.keeping.require(model, record.id)).data == {"n": 19}


async def test_an_effect_is_taken_back_by_an_export_or_by_another_port(
    tmp_path: Path, weather: Weather
) -> None:
    ports = {
        "forecast": FORECAST | {"undo": "forget"},
        "other": FORECAST | {"undo": "forecast"},
        "final": FORECAST,
    }
    async with running(tmp_path, weather, translator(service="weather"), station(ports)) as host:
        rooms, model = rooms_of(host)
        record = await made(host, name="roof")
        undone = await undo_port(rooms, model, "forecast", record, PLACE, answer={"temperature": 1})
        assert undone.answer == "forgotten"
        assert undone.record is not None
        assert undone.record.data == {}
        through = await undo_port(rooms, model, "other", record, PLACE)
        assert through.answer["temperature"] == 7.5
        with pytest.raises(NotFoundError):
            await undo_port(rooms, model, "final", record, PLACE)
