"""Both ends of a sandbox's socket, with the other end played by the test."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.guest_errors import died, error_of
from edgehost.adapters.sandbox.process.session import run_session
from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.adapters.sandbox.worker.agent_link import AgentGoneError, AgentLink
from edgehost.adapters.sandbox.worker.faults import Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from edgehost.adapters.sandbox.zygote_link import Process
from edgehost.domain.errors import (
    GuestProtocolError,
    GuestTrapError,
    InvalidComponentError,
    SandboxDiedError,
)
from tests.adapters.sandbox.guests import ASKER, PLUGIN, no_host, plan_of, wasm


@given(st.text(max_size=6000))
def test_texts_are_cut_at_a_whole_character(text: str) -> None:
    cut = wire.clip(text)
    assert len(cut) <= wire.LONGEST_TEXT
    cut.decode()


@given(st.integers(1, 8), st.text(max_size=50), st.text(max_size=50), st.booleans())
def test_errors_survive_the_wire(code: int, message: str, hint: str, retire: bool) -> None:
    read = wire.read_error(wire.error_body(code, message, hint, retire=retire))
    assert read == (code, retire, *(text.encode("utf-8", "replace").decode() for text in (message, hint)))


class PlayedSandbox:
    """The other end of a WasmSandbox: a socket on which the test answers as a hostile process might."""

    def __init__(self, theirs: socket.socket) -> None:
        self._socket = theirs

    async def read(self) -> tuple[int, bytes]:
        return await asyncio.to_thread(AgentLink(self._socket.fileno()).receive)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def played(**limits: int) -> AsyncIterator[tuple[WasmSandbox, PlayedSandbox]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    loop = asyncio.get_running_loop()
    process = Process(os.getpid(), -1, loop.create_future())
    process.end(-11)  # it is nobody's process: nothing must be killed
    plan = plan_of(PLUGIN, limits=limits, grants={"functions": ("find",)})
    sandbox = WasmSandbox(plan, process, host_call=no_host, log=lambda *_: None)
    await loop.create_unix_connection(lambda: sandbox.link, sock=ours)
    with theirs:
        yield sandbox, PlayedSandbox(theirs)
        sandbox.link.abort()
        await asyncio.sleep(0)


HOSTILE = {
    "an answer that is too long": wire.HEADER.pack(wire.RESULT, 1 << 30),
    "a frame of unknown kind": wire.frame(99, b"?"),
    "an unknown kind that is long": wire.HEADER.pack(99, 1 << 20),
    "a log line of no level": wire.frame(wire.LOG, b"\x63text"),
    "an empty log line": wire.frame(wire.LOG),
    "a flood of log lines": wire.frame(wire.LOG, b"\x02x") * 50,
    "two answers": wire.frame(wire.RESULT, b"\0") * 2,
    "exports instead of an answer": wire.frame(wire.NAMES, b"[]"),
    "an answer of nothing": wire.frame(wire.RESULT),
    "a host call of nothing": wire.frame(wire.HOST_CALL),
    "a request of nothing": wire.frame(wire.HTTP, b"\1"),
    "half an error": wire.frame(wire.ERROR, b"\1"),
    "garbage": bytes(range(200, 256)) * 10,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_process_that_breaks_the_protocol_is_condemned(name: str) -> None:
    async with played(log_lines=20) as (sandbox, other):
        call = asyncio.create_task(sandbox.call("echo", b"x", deadline_s=5), name="call")
        await other.read()
        other.send(HOSTILE[name])
        if name == "two answers":
            assert await call == b""
        else:
            with pytest.raises(GuestProtocolError):
                await call
        assert not sandbox.alive


async def test_exports_that_are_no_json_condemn_the_sandbox() -> None:
    async with played() as (sandbox, other):
        exports = asyncio.create_task(sandbox.exports(), name="exports")
        await other.read()
        other.send(wire.frame(wire.NAMES, b"[" * 1000))
        with pytest.raises(GuestProtocolError):
            await exports
        assert not sandbox.alive


async def test_host_calls_beyond_the_limit_are_not_carried_out() -> None:
    async with played(host_calls=2) as (sandbox, other):
        call = asyncio.create_task(sandbox.call("echo", b"x", deadline_s=5), name="call")
        await other.read()
        for _ in range(2):
            other.send(wire.frame(wire.HOST_CALL, b"\x04findpayload"))
            assert (await other.read())[0] == wire.HOST_REPLY
        other.send(wire.frame(wire.HOST_CALL, b"\x04findpayload"))
        with pytest.raises(GuestProtocolError):
            await call


async def test_a_function_that_was_not_granted_is_refused_by_the_agent_too() -> None:
    async with played() as (sandbox, other):
        call = asyncio.create_task(sandbox.call("echo", b"x", deadline_s=5), name="call")
        await other.read()
        other.send(wire.frame(wire.HOST_CALL, b"\x06delete{}"))
        _, body = await other.read()
        assert json.loads(body[1:])["error"]["code"] == "not-granted"
        other.send(wire.frame(wire.RESULT, b"\0fine"))
        assert await call == b"fine"
        assert sandbox.alive


async def test_frames_may_arrive_in_pieces() -> None:
    async with played() as (sandbox, other):
        call = asyncio.create_task(sandbox.call("echo", b"x", deadline_s=5), name="call")
        await other.read()
        for byte in wire.frame(wire.LOG, b"\x02line") + wire.frame(wire.RESULT, b"\0answer"):
            other.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert await call == b"answer"


async def test_a_process_that_goes_away_is_a_death() -> None:
    async with played() as (sandbox, other):
        call = asyncio.create_task(sandbox.call("echo", b"x", deadline_s=5), name="call")
        await other.read()
        other.close()
        with pytest.raises(SandboxDiedError, match="segmentation fault"):
            await call


def test_every_end_has_its_words() -> None:
    assert "gone" in str(died("c", None))
    assert "status 3" in str(died("c", 3))
    assert "signal 15" in str(died("c", -15))
    assert "forbidden" in str(died("c", -31))
    assert isinstance(error_of("c", wire.TRAP, "m", ""), GuestTrapError)
    assert isinstance(error_of("c", wire.INVALID, "m", ""), InvalidComponentError)
    assert isinstance(error_of("c", 77, "m", ""), GuestProtocolError)


def told(*frames: bytes) -> list[tuple[int, bytes]]:
    """What a session answers to these frames, run here to its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(frames))
        ours.shutdown(socket.SHUT_WR)
        run_session(theirs.fileno(), {"all": "on"})
        theirs.shutdown(socket.SHUT_WR)
        link, answers = AgentLink(ours.fileno()), []
        while True:
            try:
                answers.append(link.receive())
            except AgentGoneError:
                return answers


def load(module: str, plan: LoadPlan | None = None) -> bytes:
    document = (plan or LoadPlan()).to_json()
    return wire.frame(wire.LOAD, len(document).to_bytes(4, "little"), document, wasm(module))


def ask(function: str, payload: bytes = b"") -> bytes:
    return wire.frame(wire.CALL, wire.CALL_HEAD.pack(5.0, len(function)), function.encode(), payload)


def test_a_session_loads_compiles_and_answers() -> None:
    answers = told(
        load(PLUGIN), wire.frame(wire.EXPORTS), ask("echo", b"hi"), ask("trap"), ask("echo", b"again")
    )
    assert [kind for kind, _ in answers] == [wire.LOADED, wire.NAMES, wire.RESULT, wire.ERROR, wire.RESULT]
    assert json.loads(answers[0][1]) == {"all": "on"}
    assert "echo" in json.loads(answers[1][1])
    assert answers[2][1] == b"\0hi"
    assert wire.read_error(answers[3][1])[0] == wire.TRAP
    assert answers[4][1] == b"\0again"


def test_a_session_only_loads_at_first_and_only_once() -> None:
    assert told(wire.frame(wire.EXPORTS)) == []
    assert [kind for kind, _ in told(load(PLUGIN), load(PLUGIN), ask("echo"))] == [wire.LOADED]


def test_a_session_reports_what_it_cannot_load_and_ends() -> None:
    for module, code in (
        ("(module (memory 100))", wire.INVALID),
        ("(module (func $f unreachable) (start $f))", wire.INVALID),
    ):
        answers = told(load(module, LoadPlan(memory_kib=64)), ask("echo"))
        assert [kind for kind, _ in answers] == [wire.ERROR]
        assert wire.read_error(answers[0][1])[0] == code


def test_a_module_that_exits_while_starting_is_refused() -> None:
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory 1)
      (func (export "_initialize") (call $exit (i32.const 4))))"""
    ((kind, body),) = told(load(text))
    assert kind == wire.ERROR
    assert "status 4" in wire.read_error(body)[2]


def test_an_engine_that_cannot_compile_is_not_asked_again() -> None:
    text = """(module (func (export "simd") (result i32) (i8x16.extract_lane_s 0 (v128.const i64x2 0 0))))"""
    answers = told(load(text), ask("simd"), ask("simd"))
    assert [kind for kind, _ in answers][-1] == wire.ERROR
    assert len(answers) <= 2


def test_a_call_that_leaks_much_asks_to_be_replaced() -> None:
    answers = told(load(PLUGIN), ask("many_imports_called"), ask("echo"))
    assert answers[1] == (wire.RESULT, b"\x01")


def test_an_agent_that_goes_during_a_host_call_ends_the_session() -> None:
    answers = told(load(ASKER, LoadPlan(functions=("find",))), ask("ask", b"q"))
    assert answers[-1] == (wire.HOST_CALL, b"\x04findq")


def test_a_failure_of_the_worker_itself_is_told() -> None:
    ((kind, body),) = told(wire.frame(wire.LOAD, (3).to_bytes(4, "little"), b"no!"))
    assert kind == wire.ERROR
    code, _, message, _ = wire.read_error(body)
    assert code == wire.ENGINE
    assert "JSONDecodeError" in message


def test_the_link_counts_what_the_guest_spends() -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        link = AgentLink(writer.fileno())
        other = AgentLink(reader.fileno())
        link.limit(host_calls=1, log_lines=1, payload_bytes=10)
        link.log(2, "one")
        link.log(2, "two")
        link.report_dropped_lines()
        assert other.receive() == (wire.LOG, b"\x02one")
        assert other.receive() == (wire.LOG, b"\x031 more lines were dropped")
        other.send(wire.HOST_REPLY, b"\0reply")
        assert link.host_call("f", b"0123456789") == b"reply"
        with pytest.raises(Trap, match="too many host calls"):
            link.host_call("f", b"")
        link.limit(host_calls=1, log_lines=1, payload_bytes=10)
        with pytest.raises(Trap, match="may carry"):
            link.http(b"01234567890", b"")
        link.limit(host_calls=1, log_lines=1, payload_bytes=10)
        other.send(wire.RESULT, b"nonsense")
        with pytest.raises(AgentGoneError):
            link.http(b"", b"")


def test_writing_to_an_agent_that_is_gone_ends_the_session() -> None:
    reader, writer = socket.socketpair()
    with writer:
        reader.close()
        with pytest.raises(AgentGoneError):
            AgentLink(writer.fileno()).send(wire.LOG, b"\x02x")
