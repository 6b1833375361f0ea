"""Doctor tries a broker's login as the host would, and pushes nobody off."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.cli.broker_check import check_broker
from edgehost.cli.finding import State
from edgehost.config_fleet import FleetSettings
from edgehost.config_tables import MqttCarrier
from edgehost.config_upstream import BrokerSettings
from remotes.mqtt_login import login_refusal
from remotes.mqtt_options import MqttOptions
from tests.required_tools import require_tool

Settings = MqttCarrier | FleetSettings | BrokerSettings
KINDS: dict[str, Callable[..., Settings]] = {
    "remote": MqttCarrier,
    "fleet": lambda **keys: FleetSettings(name="yard", **keys),
    "fleet of 3.1.1": lambda **keys: FleetSettings(name="yard", mqtt_version="3.1.1", **keys),
    "upstream": BrokerSettings,
}


@asynccontextmanager
async def guarded_broker(folder: Path) -> AsyncIterator[EmbeddedBroker]:
    """Lets in 'gate' with the password 'open'."""
    require_tool("mosquitto")
    passwords = folder / "passwords"
    words = [require_tool("mosquitto_passwd"), "-b", "-c", str(passwords), "gate", "open"]
    await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
    guard = f"allow_anonymous false\npassword_file {passwords}"
    async with open_broker(kind="mosquitto", extra_config=guard) as broker:
        yield broker


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
async def test_a_login_is_taken_or_refused(tmp_path: Path, make: Callable[..., Settings]) -> None:
    (tmp_path / "right").write_text("open\n")
    (tmp_path / "wrong").write_text("sesame\n")

    async def state(**keys: object) -> tuple[State, str]:
        settings = make(host="127.0.0.1", tcp_port=broker.tcp_port, **keys)
        found = await asyncio.to_thread(check_broker, "broker", settings, "[table]")
        assert found.state is State.GOOD or found.advice
        return found.state, found.what

    async with guarded_broker(tmp_path) as broker:
        taken, what = await state(username="gate", password_file=tmp_path / "right")
        assert (taken, "takes the login" in what) == (State.GOOD, True)
        refused, what = await state(username="gate", password_file=tmp_path / "wrong")
        assert (refused, "does not let 'gate' in" in what) == (State.WRONG, True)
        assert "sesame" not in what
        refused, what = await state()
        assert (refused, "without a user name" in what) == (State.WRONG, True)
        missing, what = await state(username="gate", password_file=tmp_path / "none")
        assert (missing, "cannot be read" in what) == (State.WRONG, True)


async def test_a_client_with_the_same_settings_stays_connected() -> None:
    require_tool("mosquitto")
    async with open_broker(kind="mosquitto") as broker, asyncio.timeout(30):
        options = MqttOptions("127.0.0.1", broker.tcp_port, client_id="gate")
        async with aiomqtt.Client("127.0.0.1", broker.tcp_port, identifier="gate") as running:
            await running.subscribe("still/here")
            assert not await login_refusal(options)
            await running.publish("still/here", b"yes")
            message = await anext(aiter(running.messages))
            assert message.payload == b"yes"
