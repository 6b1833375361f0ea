"""A host in a fleet, a broker, and the genuine mosquitto_pub and mosquitto_sub beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker
from edgehost.config import Config
from tests.journeys.fleet import Fleet, RunningHost
from tests.required_tools import require_tool

ROOT = "edgehost/yard/journey"


@dataclass
class Tools:
    """The programs that everybody has."""

    broker: EmbeddedBroker

    async def publish(
        self, topic: str, message: Any = None, *, file: Path | None = None, retain: bool = True
    ) -> None:
        """mosquitto_pub, retained; a message of None clears the topic."""
        words = [require_tool("mosquitto_pub"), "-p", str(self.broker.tcp_port), "-t", topic, "-q", "1"]
        words += ["-r"] if retain else []
        if file is not None:
            words += ["-f", str(file)]
        elif message is None:
            words += ["-n"]
        else:
            words += ["-m", message if isinstance(message, str) else json.dumps(message)]
        process = await asyncio.create_subprocess_exec(*words)
        assert await process.wait() == 0

    async def retained(self, topic: str = f"{ROOT}/#") -> dict[str, Any]:
        """What the broker retains, by mosquitto_sub."""
        process = await asyncio.create_subprocess_exec(
            require_tool("mosquitto_sub"),
            *("-p", str(self.broker.tcp_port), "-t", topic, "-F", "%t %p", "--retained-only", "-W", "1"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        lines = [line.partition(b" ") for line in output.splitlines()]
        return {name.decode(): _read(payload) for name, _, payload in lines}

    @asynccontextmanager
    async def heard(self, topic: str = f"{ROOT}/#") -> AsyncIterator[Heard]:
        """Listen by mosquitto_sub."""
        process = await asyncio.create_subprocess_exec(
            require_tool("mosquitto_sub"),
            *("-p", str(self.broker.tcp_port), "-t", topic, "-F", "%t %p", "-q", "1"),
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        assert process.stdout is not None
        try:
            yield Heard(process.stdout)
        finally:
            process.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
            await process.wait()


@dataclass
class Heard:
    """Lines as they come."""

    stream: asyncio.StreamReader

    async def until(self, topic: str, holds: Any = lambda _payload: True, *, timeout_s: float = 20) -> Any:
        """The next payload on the topic for which it holds."""
        async with asyncio.timeout(timeout_s):
            while True:
                line = await self.stream.readline()
                assert line, "mosquitto_sub has ended"
                name, _, payload = line.rstrip(b"\n").partition(b" ")
                if name.decode() == topic and holds(_read(payload)):
                    return _read(payload)

    async def final(self, topic: str, *, timeout_s: float = 20) -> Any:
        """The outcome of a command."""
        return await self.until(
            topic, lambda state: state and state["status"] in {"successful", "failed"}, timeout_s=timeout_s
        )


def fleet_config(fleet: Fleet, broker: EmbeddedBroker, more: str = 'commands = "trusted-broker"\n') -> Config:
    """A host of the fleet 'yard'."""
    table = f'[fleet]\nname = "yard"\nhost = "127.0.0.1"\ntcp_port = {broker.tcp_port}\nmeasure_s = 1\n{more}'
    return fleet.config(more=table)


@asynccontextmanager
async def fleet_host(
    fleet: Fleet, broker: EmbeddedBroker, more: str = 'commands = "trusted-broker"\n'
) -> AsyncIterator[RunningHost]:
    async with fleet.host(fleet_config(fleet, broker, more)) as host:
        yield host


def _read(payload: bytes) -> Any:
    if not payload or payload == b"(null)":
        return None
    try:
        return json.loads(payload)
    except ValueError:
        return payload
