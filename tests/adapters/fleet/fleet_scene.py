"""A host in a fleet, a broker, and the genuine mosquitto_pub and mosquitto_sub beside them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker
from edgehost.config import Config
from tests.journeys.fleet import Fleet, RunningHost
from tests.required_tools import require_tool

ROOT = "edgehost/yard/journey"
#: Retained for each listener before it listens: when it hears its own, it listens.
MARK = "listeners/mark"


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
        """What the broker retains, by mosquitto_sub: it has all come when a later message has."""
        async with self.heard(topic) as heard:
            await self.publish(MARK, "end", retain=False)
            found = await heard.before("end")
        return {line.topic: line.payload for line in found if line.retained}

    @asynccontextmanager
    async def heard(self, topic: str = f"{ROOT}/#") -> AsyncIterator[Heard]:
        """Listen by mosquitto_sub: whatever is published from now on is heard, after what the broker retains."""
        mark = f"mark {uuid4().hex}"
        await self.publish(MARK, mark)
        process = await asyncio.create_subprocess_exec(
            require_tool("mosquitto_sub"),
            *("-p", str(self.broker.tcp_port), "-t", topic, "-t", MARK, "-F", "%r %t %x", "-q", "1"),
            stdout=asyncio.subprocess.PIPE,
            limit=2**21,
        )
        assert process.stdout is not None
        try:
            heard = Heard(process.stdout)
            # Brokers choose the order in which retained messages come: those before the mark are not lost.
            heard.early.extend(await heard.before(mark))
            yield heard
        finally:
            process.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
            await process.communicate()  # to its end, or the pipe stays open


@dataclass(frozen=True)
class Line:
    """A message as mosquitto_sub writes it."""

    topic: str
    payload: Any
    retained: bool


@dataclass
class Heard:
    """Lines as they come."""

    stream: asyncio.StreamReader
    early: deque[Line] = field(default_factory=deque)

    async def before(self, mark: str) -> list[Line]:
        """What comes before this mark."""
        found: list[Line] = []
        async with asyncio.timeout(30):
            while (line := await self.next()).topic != MARK or line.payload != mark.encode():
                found.append(line)
        return [each for each in found if each.topic != MARK]

    async def until(self, topic: str, holds: Any = lambda _payload: True, *, timeout_s: float = 20) -> Any:
        """The next payload on the topic for which it holds."""
        async with asyncio.timeout(timeout_s):
            while True:
                line = await self.next()
                if line.topic == topic and holds(line.payload):
                    return line.payload

    async def next(self) -> Line:
        """The next message, whatever it is; the marks of other listeners are among them."""
        if self.early:
            return self.early.popleft()
        line = await self.stream.readline()
        assert line, "mosquitto_sub has ended"
        retained, topic, payload = line.rstrip(b"\n").split(b" ", 2)
        return Line(topic.decode(), _read(bytes.fromhex(payload.decode())), retained == b"1")

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
    if not payload:
        return None
    try:
        return json.loads(payload)
    except ValueError:
        return payload
