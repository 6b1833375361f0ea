"""Extism's host functions, looked at closely in the test's own process."""

from __future__ import annotations

import json

import pytest

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.faults import Fault, Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan, read_load_plan
from tests.adapters.sandbox.guests import ASKER, ENV, PLUGIN
from tests.adapters.sandbox.in_process import Guest, NotedAgent

HTTP = f"""(module {ENV}
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $status (result i32)))
  (import "extism:host/env" "http_headers" (func $headers (result i64)))
  (func $out (param i64) (call $output_set (local.get 0) (call $length (local.get 0))))
  (func (export "get") (result i32)
    (call $out (call $http_request (call $input_offset) (i64.const 0))) (i32.const 0))
  (func (export "post") (result i32) (local $body i64)
    (local.set $body (call $alloc (i64.const 2))) (call $store_u8 (local.get $body) (i32.const 104))
    (call $store_u8 (i64.add (local.get $body) (i64.const 1)) (i32.const 105))
    (call $out (call $http_request (call $input_offset) (local.get $body))) (i32.const 0))
  (func (export "status") (result i32) (call $status))
  (func (export "headers") (result i32) (call $out (call $headers)) (i32.const 0)))"""

HASKELL = """(module (memory (export "memory") 1) (global $seen (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $seen (i32.const 10)))
  (func (export "hs_init") (param i32 i32)
    (global.set $seen (i32.add (global.get $seen) (i32.add (local.get 0) (i32.const 7)))))
  (func (export "seen") (result i32) (global.get $seen)))"""


def reactor(name: str, signature: str = "") -> str:
    return f"""(module (global $seen (mut i32) (i32.const 0))
      (func (export "{name}") {signature} (global.set $seen (i32.const 5)))
      (func (export "seen") (result i32) (global.get $seen)))"""


@pytest.mark.parametrize(
    ("module", "status"),
    [
        (HASKELL, 17),
        (reactor("_initialize"), 5),
        (reactor("__wasm_call_ctors"), 5),
        (reactor("_initialize", "(param i32)"), 0),
    ],
)
def test_the_guests_runtime_is_initialised_as_extism_does(module: str, status: int) -> None:
    guest = Guest(module)
    if status:
        with pytest.raises(Fault, match=f"returned {status}"):
            guest.call("seen")
    else:
        assert guest.call("seen") == b""


def test_log_lines_carry_their_level_and_unwanted_ones_stay_in_the_guest() -> None:
    agent = NotedAgent()
    Guest(PLUGIN, LoadPlan(log_level=0), agent).call("log_each_level")
    assert agent.lines == [("trace", "t"), ("debug", "d"), ("warning", "w"), ("error", "e")]
    quiet = NotedAgent()
    Guest(PLUGIN, LoadPlan(log_level=3), quiet).call("log_each_level")
    assert quiet.lines == [("warning", "w"), ("error", "e")]


def test_an_unwanted_line_needs_no_valid_handle() -> None:
    Guest(PLUGIN, LoadPlan(log_level=4)).call("wrong_log_handle")
    with pytest.raises(Trap, match="invalid handle"):
        Guest(PLUGIN).call("wrong_log_handle")


def test_variables_are_kept_between_calls_and_bounded() -> None:
    guest = Guest(PLUGIN, LoadPlan(memory_kib=1024))
    guest.call("remember", b"v")
    assert guest.call("var_of_input", b"k") == b"v"
    guest.call("remember", b"x" * 100_000)
    assert guest.call("var_of_input", b"k") == b"x" * 100_000
    guest.call("forget")
    assert guest.call("var_of_input", b"k") == b""


def test_a_full_variable_store_is_a_trap() -> None:
    module = f"""(module {ENV} (func (export "hoard") (result i32) (local $key i64) (local $n i64)
      (loop $more
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (local.set $key (call $alloc (i64.const 8)))
        (call $store_u64 (local.get $key) (i64.and (local.get $n) (i64.const 0x7f7f)))
        (call $var_set (local.get $key) (call $alloc (i64.const 100000))) (br $more)) (i32.const 0)))"""
    with pytest.raises(Trap, match="Variable store is full"):
        Guest(module, LoadPlan(memory_kib=8192)).call("hoard")


def test_an_error_text_survives_a_trap() -> None:
    with pytest.raises(Trap, match="unreachable executed: the reason"):
        Guest(PLUGIN).call("trap_with_error", b"the reason")


def test_a_granted_function_gets_and_gives_blocks() -> None:
    agent = NotedAgent(lambda name, payload: name.encode() + b":" + payload)
    guest = Guest(ASKER, LoadPlan(functions=("find",)), agent)
    assert guest.call("ask", b"q") == b"find:q"
    assert guest.call("ask") == b"find:"
    with pytest.raises(Trap, match="input of find"):
        guest.call("ask_with_a_wrong_handle")


def test_an_empty_reply_is_offset_zero() -> None:
    guest = Guest(ASKER, LoadPlan(functions=("find",)), NotedAgent(lambda _n, _p: b""))
    assert guest.call("ask", b"q") == b""


def test_a_reply_that_does_not_fit_is_a_trap() -> None:
    guest = Guest(
        ASKER, LoadPlan(functions=("find",), memory_kib=256), NotedAgent(lambda _n, _p: bytes(300_000))
    )
    with pytest.raises(Trap, match="oom"):
        guest.call("ask", b"q")


def test_http_answers_reach_the_guest() -> None:
    head = json.dumps({"status": 201, "headers": {"x": "y"}}).encode()
    agent = NotedAgent(http=(wire.OK, len(head).to_bytes(4, "little") + head + b"made"))
    guest = Guest(HTTP, agent=agent)
    assert guest.call("headers") == b""
    assert guest.call("post", b'{"url":"http://a"}') == b"made"
    assert agent.requests == [(b'{"url":"http://a"}', b"hi")]
    with pytest.raises(Fault, match="returned 201"):
        guest.call("status")
    assert json.loads(guest.call("headers")) == {"x": "y"}


def test_a_denied_http_request_is_a_trap_and_leaves_no_status() -> None:
    guest = Guest(HTTP)
    with pytest.raises(Trap, match="not allowed"):
        guest.call("get", b'{"url":"http://a"}')
    assert guest.call("status") == b""


def test_freeing_the_input_empties_it() -> None:
    module = f"""(module {ENV} (func (export "run") (result i32)
      (call $free (call $input_offset)) (i32.wrap_i64 (call $input_length))))"""
    assert Guest(module).call("run", b"abc") == b""


def test_reading_before_an_input_that_is_not_there_is_a_trap() -> None:
    module = f"""(module {ENV} (func (export "run") (result i32)
      (drop (call $input_load_u64 (i64.const -8))) (i32.const 0)))"""
    with pytest.raises(Trap, match="out of bounds"):
        Guest(module).call("run")


def test_a_plan_survives_its_journey() -> None:
    plan = LoadPlan(functions=("a", "b"), config={"secret": "s"}, log_lines=3)
    assert read_load_plan(plan.to_json()) == plan
    assert "secret" not in repr(plan)
