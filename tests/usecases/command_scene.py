"""Commands without a network: a link and a store in memory, genuine signatures, a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgehost.adapters.fleet.command_signing import OperatorKey, new_command
from edgehost.adapters.fleet.operator_keys import OperatorKeys
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.domain.errors import RefusedError, StorageFullError
from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.domain.fleet_rules import HostTime, Operator
from edgehost.domain.fleet_topics import FleetTopics
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.spec_reader import SpecReader
from edgehost.usecases.admit_commands import Admission
from edgehost.usecases.command_book import CommandBook
from edgehost.usecases.fleet_operation import RunningCommand
from edgehost.usecases.run_fleet_commands import FleetCommands
from remotes.cose_sign1 import key_id_of
from remotes.owned_tasks import owned_tasks

TOPICS = FleetTopics("yard").host("gate")
NOW = 1_800_000_000.0


@dataclass
class StandingClock:
    at: float = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class MemoryLink:
    """What a broker would retain."""

    connected: bool = True
    asked: int = 0
    retained: dict[str, bytes] = field(default_factory=dict)
    said: list[tuple[str, bytes]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        self._write(topic, payload or b"")

    def put(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        self._write(topic, payload)

    def tell(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        self.said.append((topic, payload))

    def ask_again(self) -> None:
        self.asked += 1

    def _write(self, topic: str, payload: bytes) -> None:
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
        self.said.append((topic, payload))
        self.moved.set()

    def state(self, topic: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.retained[topic]) if topic in self.retained else {}
        return document

    async def until(self, topic: str, *words: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while self.state(topic).get("status") not in words:
                self.moved.clear()
                await self.moved.wait()
        return self.state(topic)

    async def final(self, topic: str) -> dict[str, Any]:
        return await self.until(topic, "successful", "failed")


@dataclass
class MemoryStore:
    """What a disk would hold; ``full`` refuses."""

    content: bytes = b"{}"
    full: bool = False
    writes: int = 0

    async def load(self) -> Mapping[str, Any]:
        document = read_json(self.content)
        if not isinstance(document, dict):
            raise RefusedError("It is no table.")
        return document

    async def keep(self, table: Mapping[str, Any]) -> None:
        if self.full:
            raise StorageFullError("The disk is full.")
        self.writes += 1
        self.content = write_json(dict(table))


@dataclass
class Step:
    """An operation that waits until the test lets it go on."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    done: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    commits: bool = False
    result: Mapping[str, Any] = field(default_factory=lambda: {"did": True})
    capability: Mapping[str, Any] = field(default_factory=lambda: {"description": "waits"})

    def about(self, arguments: Mapping[str, Any]) -> str:
        return SpecReader(arguments, error=RefusedError).text("component")

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        return f"component {self.about(arguments)}"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        running.committed = self.commits
        await self.gate.wait()
        self.done.append(running.command.id)
        return self.result

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        self.resumed.append(running.command.id)
        return await self.run(running)


def new_key() -> tuple[bytes, OperatorKey]:
    """A public key, and the key that signs."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return public, OperatorKey(key_id_of(public), private.sign)


@dataclass
class Scene:
    """A host called 'gate' in the fleet 'yard', and operators with keys."""

    mode: str = "signed"
    clock: StandingClock = field(default_factory=StandingClock)
    clock_is_set: bool = True
    store: MemoryStore = field(default_factory=MemoryStore)
    link: MemoryLink = field(default_factory=MemoryLink)
    step: Step = field(default_factory=Step)
    keys: dict[str, tuple[bytes, OperatorKey]] = field(default_factory=dict)
    operators: list[tuple[bytes, Operator]] = field(default_factory=list)
    bus: LocalEventBus = field(default_factory=LocalEventBus)

    def __post_init__(self) -> None:
        self.operator("ada")
        self.operator("bob", may=("logs",))
        self.operator("eve", components=("telemetry",))

    def operator(self, name: str, **rules: Any) -> None:
        public, key = self.keys[name] = new_key()
        self.operators.append((public, Operator(key.key_id, name, **rules)))

    def command(
        self, component: str = "pump", operation: Operation = Operation.DEPLOY, **more: Any
    ) -> FleetCommand:
        given: dict[str, Any] = {
            "fleet": "yard",
            "audience": ["gate"],
            "now": self.clock.at,
            "life_s": 600.0,
        } | more
        return new_command(operation, {"component": component}, **given)

    def topic(self, command: FleetCommand) -> str:
        return TOPICS.command(command.operation, command.id)

    def signed(self, command: FleetCommand, by: str = "ada") -> bytes:
        return self.keys[by][1].signed_command(command)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[FleetCommands]:
        """One run of the host; leaving the block kills it."""
        commands = FleetCommands(
            TOPICS,
            "boot",
            Admission(
                "gate",
                "yard",
                self.mode,
                OperatorKeys(tuple(self.operators)),
                lambda: HostTime(self.clock.at, self.clock_is_set),
            ),
            CommandBook(self.store, self.clock),
            {Operation.DEPLOY: self.step, Operation.LOGS: self.step},
            self.link,
            self.clock,
            self.bus,
        )
        await commands.book.open()
        async with owned_tasks() as spawn:
            spawn(commands.run(), "commands")
            yield commands

    async def outcome(
        self, commands: FleetCommands, command: FleetCommand, by: str = "ada"
    ) -> dict[str, Any]:
        """Give it and wait for its end."""
        self.link.retained.pop(self.topic(command), None)
        commands.take(self.topic(command), self.signed(command, by))
        return await self.link.final(self.topic(command))


def changed(command: FleetCommand, **fields: Any) -> FleetCommand:
    return replace(command, **fields)


Holds = Callable[[], bool]
