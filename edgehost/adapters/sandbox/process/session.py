"""A sandbox's life: load one module, then answer calls until the agent closes the socket."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Final

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.abi.aegis import AegisAbi
from edgehost.adapters.sandbox.abi.extism import ExtismAbi
from edgehost.adapters.sandbox.abi.plain import PlainAbi
from edgehost.adapters.sandbox.abi.wasi import Wasi
from edgehost.adapters.sandbox.worker.agent_link import Agent, AgentGoneError, AgentLink
from edgehost.adapters.sandbox.worker.engine import Engine
from edgehost.adapters.sandbox.worker.faults import Fault, GuestExit, Trap, invalid
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan, read_load_plan

# The agent kills at the deadline; this is for an agent that hangs. Late enough never to come first.
_BACKSTOP_S: Final = 2.0
# pywasm3 leaks the arguments and the result of every host function: about 80 bytes in two allocations. Past
# this many the sandbox asks to be replaced (about 3 MiB).
_LEAKED_BLOCKS: Final = 50_000
_SHORT_CALL_S: Final = 0.0005
_SHORT_CALLS: Final = 8  # counting allocations takes 4 us, so short calls share one count


class Session:
    """One module behind one link."""

    def __init__(self, link: AgentLink, plan: LoadPlan, wasm: bytes) -> None:
        self._link, self._plan = link, plan
        self._allow()
        self._wasi = Wasi(link)
        self._abi = abi_of(link, plan, wasm)
        self._engine = Engine(
            wasm,
            {**self._wasi.table(), **self._abi.table()},
            memory_kib=plan.memory_kib,
            stack_kib=plan.stack_kib,
        )
        self._wasi.memory = self._engine.memory
        try:
            self._abi.loaded(self._engine)
            self._engine.start()
            self._abi.started(self._engine)
        except Trap as trap:
            raise invalid(f"the module traps while starting: {trap.message}.") from None
        except GuestExit as exit_:
            raise invalid(f"the module ended itself while starting, with status {exit_.status}.") from None
        finally:
            self._wasi.flush()
        self._short_calls = 0
        self._most_blocks = sys.getallocatedblocks() + _LEAKED_BLOCKS

    def exports(self) -> bytes:
        """The names of all exports, once all are compiled."""
        return json.dumps(self._engine.exports()).encode()

    def call(self, body: bytes) -> tuple[bytes, bool]:
        """Answer one CALL: the output, and whether the instance should be replaced after it."""
        seconds, size = wire.CALL_HEAD.unpack_from(body)
        start = wire.CALL_HEAD.size
        function = body[start : start + size].decode("utf-8", "replace")
        began = time.perf_counter()
        self._allow()
        signal.setitimer(signal.ITIMER_REAL, seconds + _BACKSTOP_S)
        try:
            output = self._abi.call(self._engine, function, body[start + size :])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._wasi.flush()
            self._link.report_dropped_lines()
        # A command's _start has torn its own globals down; Extism's host starts afresh too.
        return output, function == "_start" or self._has_leaked(time.perf_counter() - began)

    def _allow(self) -> None:
        plan = self._plan
        self._link.limit(
            host_calls=plan.host_calls, log_lines=plan.log_lines, payload_bytes=max(plan.output_bytes, 65_536)
        )

    def _has_leaked(self, took_s: float) -> bool:
        self._short_calls += 1
        if took_s < _SHORT_CALL_S and self._short_calls < _SHORT_CALLS:
            return False
        self._short_calls = 0
        return sys.getallocatedblocks() > self._most_blocks


def abi_of(agent: Agent, plan: LoadPlan, wasm: bytes) -> PlainAbi | ExtismAbi | AegisAbi:
    """The calling convention that the plan names."""
    if plan.abi == "plain":
        return PlainAbi()
    return AegisAbi(agent, plan, wasm) if plan.abi == "aegis" else ExtismAbi(agent, plan)


def run_session(fd: int, confinement: dict[str, str]) -> None:
    """Serve the agent at the other end of the socket; returns when it has gone, or the engine cannot go on."""
    link = AgentLink(fd)
    try:
        session = _loaded(link, confinement)
        while session is not None and _answered(link, session):
            pass
    except AgentGoneError:
        return


def _loaded(link: AgentLink, confinement: dict[str, str]) -> Session | None:
    kind, body = link.receive()
    if kind != wire.LOAD:
        return None
    size = int.from_bytes(body[:4], "little")
    try:
        session = Session(link, read_load_plan(body[4 : 4 + size]), body[4 + size :])
    except AgentGoneError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the agent must hear of it
        _tell(link, _fault_of(error))
        return None
    link.send(wire.LOADED, json.dumps(confinement).encode())
    return session


def _answered(link: AgentLink, session: Session) -> bool:
    """Answer one request; False when the engine must not be asked again."""
    kind, body = link.receive()
    try:
        if kind == wire.EXPORTS:
            link.send(wire.NAMES, session.exports())
        elif kind == wire.CALL:
            output, retire = session.call(body)
            link.send(wire.RESULT, bytes((wire.RETIRE if retire else 0,)), output)
        else:
            return False
    except AgentGoneError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the agent must hear of it
        fault = _fault_of(error)
        _tell(link, fault)
        return fault.code not in (wire.INVALID, wire.ENGINE)
    return True


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, Fault):
        return error
    if isinstance(error, MemoryError):
        return Trap("out of memory in a host function")
    return Fault(wire.ENGINE, f"the sandbox failed: {type(error).__name__}: {error}.")


def _tell(link: AgentLink, fault: Fault) -> None:
    link.send(wire.ERROR, wire.error_body(fault.code, fault.message, fault.hint))
