"""A guest in the test's own process, for looking closely at an ABI; wasm3 is trusted with our guests only."""

from __future__ import annotations

from collections.abc import Callable

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.abi.wasi import Wasi
from edgehost.adapters.sandbox.process.session import abi_of
from edgehost.adapters.sandbox.worker.engine import Engine
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from tests.adapters.sandbox.guests import wasm


class NotedAgent:
    """The agent's side, answering from what the test gave it and noting what was asked."""

    def __init__(
        self,
        answer: Callable[[str, bytes], bytes] = lambda _name, payload: payload,
        http: tuple[int, bytes] = (wire.DENIED, b"not allowed"),
    ) -> None:
        self.lines: list[tuple[str, str]] = []
        self.requests: list[tuple[bytes, bytes]] = []
        self._answer, self._http = answer, http

    def log(self, level: int, text: str) -> None:
        self.lines.append((wire.LEVELS[level], text))

    def host_call(self, name: str, payload: bytes) -> bytes:
        return self._answer(name, payload)

    def http(self, request: bytes, body: bytes) -> tuple[int, bytes]:
        self.requests.append((request, body))
        return self._http


class Guest:
    """A module with its ABI and WASI."""

    def __init__(
        self, module: str | bytes, plan: LoadPlan | None = None, agent: NotedAgent | None = None
    ) -> None:
        plan = plan or LoadPlan()
        self.agent = agent or NotedAgent()
        self.wasi = Wasi(self.agent)
        binary = wasm(module) if isinstance(module, str) else module
        self.abi = abi_of(self.agent, plan, binary)
        self.engine = Engine(
            binary,
            {**self.wasi.table(), **self.abi.table()},
            memory_kib=plan.memory_kib,
            stack_kib=plan.stack_kib,
        )
        self.wasi.memory = self.engine.memory
        self.abi.loaded(self.engine)
        self.engine.start()
        self.abi.started(self.engine)

    def call(self, function: str, payload: bytes = b"") -> bytes:
        try:
            return self.abi.call(self.engine, function, payload)
        finally:
            self.wasi.flush()
