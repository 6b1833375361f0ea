"""Numbers in, numbers out."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.faults import Fault
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from tests.adapters.sandbox.guests import NUMBERS
from tests.adapters.sandbox.in_process import Guest

PLAIN = LoadPlan(abi="plain")
GUEST = Guest(NUMBERS, PLAIN)


def ask(function: str, *arguments: Any) -> Any:
    return json.loads(GUEST.call(function, json.dumps(arguments).encode()))


@given(st.integers(-(2**63), 2**64 - 1))
def test_64_bit_integers_are_taken_signed_or_unsigned_and_come_back_signed(value: int) -> None:
    assert ask("i64", value) == [value - 2**64 if value >= 2**63 else value]


@given(st.integers(-(2**31), 2**32 - 1), st.integers(-(2**31), 2**32 - 1))
@settings(max_examples=200)
def test_32_bit_integers_wrap_as_they_do_in_wasmtime(one: int, other: int) -> None:
    total = (one + other) % 2**32
    assert ask("add", one, other) == [total - 2**32 if total >= 2**31 else total]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_pass_unchanged(value: float) -> None:
    assert ask("f64", value) == [value]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_pass_unchanged(value: float) -> None:
    assert ask("f32", value) == [value]


def test_a_float_is_rounded_as_wasmtime_rounds_it() -> None:
    assert ask("f32", 0.1) == [struct.unpack("f", struct.pack("f", 0.1))[0]]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_special_floats_travel_as_words(word: str) -> None:
    assert ask("f64", word) == [word]
    assert ask("f32", word) == [word]
    assert json.loads(GUEST.call("f64", f"[{word}]".encode())) == [word]


def test_dividing_gives_what_ieee_says() -> None:
    assert ask("divide", 1, 0) == ["Infinity"]
    assert ask("divide", -1, 0) == ["-Infinity"]
    assert ask("divide", 0, 0) == ["NaN"]
    assert ask("divide", 1, 3) == [1 / 3]


def test_several_results_and_none() -> None:
    assert ask("swap", 1, 2) == [2, 1]
    assert ask("nothing") == []
    assert json.loads(GUEST.call("nothing", b"  ")) == []


@pytest.mark.parametrize(
    ("function", "payload", "message"),
    [
        ("add", b"[1]", "takes 2 arguments; 1"),
        ("add", b"[1, 2, 3]", "takes 2 arguments; 3"),
        ("add", b"", "takes 2 arguments; 0"),
        ("add", b"[1, 4294967296]", "argument 2 is out of the range of i32"),
        ("add", b"[-2147483649, 0]", "argument 1 is out of the range of i32"),
        ("add", b"[1.5, 0]", "must be a whole number"),
        ("add", b"[true, 0]", "is no number"),
        ("add", b'["one", 0]', "is no number"),
        ("add", b"[null, 0]", "is no number"),
        ("add", b"[[], 0]", "is no number"),
        ("i64", b"[18446744073709551616]", "out of the range of i64"),
        ("i64", b"[1e300]", "must be a whole number"),
        ("f32", b"[1e39]", "out of the range of f32"),
        ("f64", b"[" + b"9" * 400 + b"]", "out of the range of f64"),
        ("add", b"{}", "are no list"),
        ("add", b"[1, 2", "are no JSON"),
        ("add", b"\xff", "are no JSON"),
        ("add", b"[" * 100_000, "are no JSON"),
    ],
)
def test_wrong_arguments_never_reach_wasm3(function: str, payload: bytes, message: str) -> None:
    with pytest.raises(Fault, match=message) as caught:
        GUEST.call(function, payload)
    assert caught.value.code == wire.REFUSED


@given(
    st.sampled_from(["i32.div_s", "i32.rem_u", "i32.shl", "i32.rotl"]),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
@settings(max_examples=60)
def test_arithmetic_agrees_with_wasmtime(operation: str, one: int, other: int) -> None:
    text = f"""(module (func (export "f") (param i32 i32) (result i32)
      ({operation} (local.get 0) (local.get 1))))"""
    binary = bytes(wasmtime.wat2wasm(text))
    store = wasmtime.Store()
    judge = wasmtime.Instance(store, wasmtime.Module(store.engine, binary), []).exports(store)["f"]
    assert isinstance(judge, wasmtime.Func)
    payload = json.dumps([one, other]).encode()
    try:
        expected = judge(store, one, other)
    except wasmtime.Trap:
        with pytest.raises(Fault):
            Guest(binary, PLAIN).call("f", payload)
    else:
        assert json.loads(Guest(binary, PLAIN).call("f", payload)) == [expected]


def test_a_reactor_is_initialised_and_an_exit_ends_the_call() -> None:
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory 1) (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)))
      (func (export "ready") (result i32) (global.get $ready))
      (func (export "leave") (param i32) (call $exit (local.get 0))))"""
    guest = Guest(text, PLAIN)
    assert guest.call("ready") == b"[1]"
    assert guest.call("leave", b"[0]") == b"[]"
    with pytest.raises(Fault, match="exit status 3"):
        guest.call("leave", b"[3]")


def test_infinity_is_not_taken_for_a_large_number() -> None:
    assert math.isinf(float("1e999"))
    assert json.loads(GUEST.call("f64", b"[1e999]")) == ["Infinity"]
