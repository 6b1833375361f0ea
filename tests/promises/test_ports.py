"""Promises of AEGIS about ports, adapters and services, kept through a real host with guests in C: "runtime port
generation", "runtime binding of services and adapters", "configuration-based service integration", "built-in error
handling (circuit breaker, undo)", "support for WebAssembly modules as models, adapters, services".
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.domain.errors import NotGrantedError, PortUnboundError, UnavailableError
from edgehost.domain.events import Event
from edgehost.domain.port_events import PortSucceeded
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


async def test_runtime_port_generation_a_release_brings_its_ports_without_a_restart(
    tmp_path: Path, weather: Weather
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(station({"forecast": FORECAST}))
    async with fleet.host() as host:
        await host.live("station", "1.0.0")
        assert [port["port"] for port in (await host.request("GET", "/api/host/bindings"))["ports"]] == [
            "forecast"
        ]
        ports = {"forecast": FORECAST, "report": {"direction": "inbound"}}
        await fleet.publish(station(ports, version="1.1.0"))
        await host.request("POST", "/api/host/refresh", {})
        await host.live("station", "1.1.0")
        rooms, model = rooms_of(host)
        assert (await answer_port(rooms, model, "report", None, {"name": "new"})).record is not None


async def test_runtime_binding_add_features_and_fixes_live(tmp_path: Path, weather: Weather) -> None:
    """ "Port-adapter binding, adapter-service binding": an adapter that is published later takes a port over."""
    fleet = Fleet(tmp_path)
    await fleet.publish(station({"forecast": FORECAST | {"retries": 0}}))
    async with fleet.host(fleet.config(more=SERVICES.format(url=weather.url, port=weather.port))) as host:
        await host.live("station", "1.0.0")
        rooms, model = rooms_of(host)
        with pytest.raises(PortUnboundError):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        await fleet.publish(translator())
        await host.request("POST", "/api/host/refresh", {})
        await host.live("translator", "1.0.0")
        with pytest.raises(PortUnboundError, match="translator: "):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        bound = await host.request("POST", "/api/host/bindings", {"what": "translator", "target": "weather"})
        assert bound["ports"][0]["there"]
        assert (await invoke_port(rooms, model, "forecast", None, PLACE)).answer["temperature"] == 7.5


async def test_webassembly_modules_as_models_adapters_and_services(tmp_path: Path, weather: Weather) -> None:
    async with running(
        tmp_path, weather, station({"forecast": FORECAST}), translator(service="oracle"), oracle()
    ) as host:
        record = await made(host, name="roof")
        said = await host.request("POST", f"/api/models/stations/{record.id}/commands/refresh", PLACE)
        assert said["result"]["ok"]["answer"] == {"temperature": 20, "by": "translator"}


async def test_configuration_based_service_integration(tmp_path: Path, weather: Weather) -> None:
    """A model meets a service that it has never heard of by two lines of the host's configuration."""
    bindings = '[bindings]\n"station.forecast" = "translator:weather"\n'
    async with running(
        tmp_path, weather, station({"forecast": {"direction": "outbound"}}), translator(), more=bindings
    ) as host:
        rooms, model = rooms_of(host)
        outcome = await invoke_port(rooms, model, "forecast", None, PLACE)
        assert outcome.answer == {"temperature": 7.5, "by": "translator"}


async def test_ports_extend_circuit_breaker_and_retry_logic(tmp_path: Path, weather: Weather) -> None:
    """ "Ports can be instrumented for exceptions and timeouts to extend the framework's circuit breaker, retry and
    compensation logic."
    """
    rule = {"call_volume": 3, "error_rate": 0.0, "retest_ms": 200, "fallback": "guess"}
    ports = {"forecast": FORECAST | {"retries": 2, "breaker": {"default": rule}, "undo": "forget"}}
    async with running(tmp_path, weather, station(ports), translator(service="weather")) as host:
        rooms, model = rooms_of(host)
        weather.status = 503
        assert (await invoke_port(rooms, model, "forecast", None, PLACE)).fallback
        assert len(weather.asked) == 3  # one try and two retries
        weather.status = 200
        async with asyncio.timeout(10):
            while (await invoke_port(rooms, model, "forecast", None, PLACE)).fallback:
                await asyncio.sleep(0.02)
        record = await made(host, name="roof")
        undone = await undo_port(rooms, model, "forecast", record, PLACE)
        assert undone.answer == "forgotten"


async def test_ports_specify_a_callback_to_process_data_received(tmp_path: Path, weather: Weather) -> None:
    """ "Ports optionally specify a callback to process data received on the port before control is returned", and
    "before its output event is fired".
    """
    ports = {"forecast": FORECAST | {"callback": "noted", "produces": "forecast.came"}}
    async with running(tmp_path, weather, station(ports), translator(service="weather")) as host:
        rooms, model = rooms_of(host)
        record = await made(host, name="roof")
        stored: list[object] = []

        def wanted(event: Event) -> bool:
            if isinstance(event, PortSucceeded):
                stored.append(event.names[0])
            elif event.type == "edgehost.record.updated":
                stored.append("stored")
            return False

        async with host.host.control.manager.bus.subscription(wanted):
            outcome = await invoke_port(rooms, model, "forecast", record, PLACE)
        assert outcome.produced == "forecast.came"
        assert stored == ["stored", "forecast.came"]


async def test_a_service_serves_only_whom_the_host_allows(tmp_path: Path, weather: Weather) -> None:
    """ "Access requires explicit permission": a binding alone gives nobody a service."""
    more = 'allow = ["somebody-else"]\n'
    async with running(
        tmp_path, weather, station({"forecast": FORECAST}), translator(service="weather"), more=more
    ) as host:
        rooms, model = rooms_of(host)
        with pytest.raises(NotGrantedError, match="may not use"):
            await invoke_port(rooms, model, "forecast", None, PLACE)
        assert weather.asked == []


async def test_a_component_that_is_no_adapter_reaches_no_service(tmp_path: Path, weather: Weather) -> None:
    """A port that is bound to something else than an adapter leads nowhere."""
    ports = {"forecast": FORECAST | {"adapter": "oracle", "retries": 0}}
    async with running(tmp_path, weather, station(ports), oracle()) as host:
        rooms, model = rooms_of(host)
        with pytest.raises(UnavailableError, match="is no adapter"):
            await invoke_port(rooms, model, "forecast", None, PLACE)
