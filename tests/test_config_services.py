"""[services.NAME] and [bindings]: read strictly, and kinds that other packages bring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgehost.config import read_config
from edgehost.config_services import KINDS, HttpOptions, MqttOptions
from edgehost.domain.errors import InvalidConfigError, UnavailableError
from edgehost.host import started_host
from edgehost.usecases.invoke_port import invoke_port
from tests.journeys.fleet import Fleet
from tests.journeys.port_fleet import station

FOLDER = Path("/etc/edgehost")

PLUGIN = """
from contextlib import asynccontextmanager
from edgehost.ports.service import ServiceHealth

class Parrot:
    functions = {"repeat": "what it was told", "choke": "fails badly"}
    events = {"squawk": "now and then"}

    def __init__(self, options, notice):
        self._options, self._notice = options, notice

    async def call(self, function, given, *, timeout_s):
        if function == "choke":
            raise ZeroDivisionError("cracker")
        self._notice("squawk", given)
        return [given] * self._options.get("times", 1)

    def health(self):
        return ServiceHealth("ok", "on its perch")

@asynccontextmanager
async def open_parrot(name, options, notice):
    yield Parrot(options, notice)
"""


def read(**document: Any) -> Any:
    return read_config(document, folder=FOLDER)


def test_each_kind_has_its_own_keys() -> None:
    config = read(
        services={
            "weather": {"kind": "http", "hosts": ["api.example.org"], "allow": ["forecaster"]},
            "broker": {"kind": "mqtt", "host": "broker.local", "subscribe": ["a/#"]},
        }
    )
    weather, broker = config.services["weather"], config.services["broker"]
    assert (weather.kind, weather.allow) == ("http", ("forecaster",))
    assert weather.options == HttpOptions(hosts=("api.example.org",))
    assert broker.options == MqttOptions(host="broker.local", subscribe=("a/#",))
    assert broker.allow == ("*",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_another_kind_is_refused(kind: str) -> None:
    needed: dict[str, dict[str, object]] = {
        "mqtt": {"host": "b"},
        "files": {"folder": "f"},
        "serial": {"device_path": "/dev/x"},
        "device": {"device": "lamp", "component": "lamp", "functions": ["set"]},
        "websocket": {"url": "ws://x"},
    }
    with pytest.raises(InvalidConfigError, match=r"services\.mine\.wings is unknown"):
        read(services={"mine": {"kind": kind, "wings": 2, **needed.get(kind, {})}})


@pytest.mark.parametrize(
    ("service", "what"),
    [
        ({}, "kind is missing"),
        ({"kind": "htp"}, "neither edgehost nor an installed package"),
        ({"kind": "http", "allow": ["Not A Name"]}, "allow"),
        ({"kind": "http", "timeout_s": 0}, "timeout_s"),
        ({"kind": "mqtt"}, "host is missing"),
        ({"kind": "websocket", "url": "http://x"}, "url"),
        ({"kind": "gpio", "inputs": ["door"]}, "inputs"),
        ({"kind": "mavlink", "url": "serial0"}, "a link such as"),
        ({"kind": "mavlink", "commands": ["fly"]}, "arm, disarm"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(service: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidConfigError, match=what):
        read(services={"mine": service})


def test_bindings_are_names() -> None:
    config = read(bindings={"drone.fly": "pilot:radio", "pilot": "radio"})
    assert dict(config.bindings) == {"drone.fly": "pilot:radio", "pilot": "radio"}
    with pytest.raises(InvalidConfigError, match="direct"):
        read(bindings={"direct": "radio"})
    with pytest.raises(InvalidConfigError, match=r"drone\.fly"):
        read(bindings={"drone.fly": "Pilot"})


@pytest.fixture
def parrot_package(tmp_path: Path) -> Iterator[None]:
    """A package that brings a kind of service, installed as pip would."""
    site = tmp_path / "site"
    info = site / "parrot-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "parrot_service.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edgehost.services]\nparrot = parrot_service:open_parrot\nbroken = parrot_missing:open_it\n"
    )
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))
    sys.modules.pop("parrot_service", None)


async def test_a_kind_of_an_installed_package_serves_ports(tmp_path: Path, parrot_package: None) -> None:
    fleet = Fleet(tmp_path)
    ports = {
        "repeat": {"direction": "outbound", "service": "polly"},
        "choke": {"direction": "outbound", "service": "polly", "retries": 0},
    }
    await fleet.publish(station(ports))
    config = fleet.config(more='[services.polly]\nkind = "parrot"\ntimes = 2\n')
    async with fleet.host(config) as host:
        await host.live("station", "1.0.0")
        rooms = host.host.control.ports
        assert rooms is not None
        model = rooms.models.table.named("station")
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: event.type == "edgehost.service.notified") as told:
            assert (await invoke_port(rooms, model, "repeat", None, "hello")).answer == ["hello", "hello"]
            assert (await anext(told)).names[0] == "squawk"
        with pytest.raises(Exception, match="ZeroDivisionError"):
            await invoke_port(rooms, model, "choke", None, "x")
        listed = await host.request("GET", "/api/host/bindings")
        (service,) = listed["services"]
        assert (service["service"], service["kind"], service["detail"]) == ("polly", "parrot", "on its perch")


async def test_a_package_that_does_not_import_is_named(tmp_path: Path, parrot_package: None) -> None:
    fleet = Fleet(tmp_path)
    config = fleet.config(more='[services.polly]\nkind = "broken"\n')
    with pytest.raises(Exception, match=r"'polly' \(broken\) needs the package parrot_missing"):
        async with fleet.host(config):
            pass


async def test_a_kind_whose_package_is_missing_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "edgehost.adapters.vehicles.mavlink_service", raising=False)
    monkeypatch.setitem(sys.modules, "pymavlink.dialects.v20", None)
    config = Fleet(tmp_path).config(more='[services.drone]\nkind = "mavlink"\n')
    with pytest.raises(UnavailableError, match=r"'drone' \(mavlink\) needs the package pymavlink") as caught:
        async with started_host(config):
            pass
    assert "pip install 'edgehost[mavlink]'" in caught.value.hint
    assert not [each for each in caplog.records if each.exc_info]
