"""Exported constants, read from bytes that may be anything."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.adapters.sandbox.worker.faults import Fault
from edgehost.adapters.sandbox.worker.wasm_constants import exported_constants
from edgehost.domain.wasm_sections import HEADER, section
from tests.adapters.sandbox.guests import wasm
from tests.journeys.guest_scenes import committed

COUNTER = committed("aegis-counter")


def test_immutable_i32_constants_are_found_unsigned() -> None:
    text = """(module (global i32 (i32.const 1)) (global (export "a") i32 (i32.const -1))
      (global (export "b") (mut i32) (i32.const 2)) (global (export "c") i64 (i64.const -9000000000))
      (global (export "d") f32 (f32.const 1.5)) (global (export "e") f64 (f64.const 2.5))
      (global (export "f") i32 (i32.const 2147483647)) (global (export "g") funcref (ref.null func))
      (func (export "h")) (memory (export "i") 1))"""
    assert exported_constants(wasm(text)) == {"a": 0xFFFFFFFF, "f": 0x7FFFFFFF}


def test_a_real_module_says_where_its_classes_are() -> None:
    assert exported_constants(COUNTER)["__rtti_base"] > 0


def test_a_module_without_globals_has_none() -> None:
    assert exported_constants(wasm('(module (func (export "f")))')) == {}


@pytest.mark.parametrize(
    "globals_",
    [
        b"\x01\x7f\x00\x41\x00",  # no end
        b"\x01\x7f\x00\x41\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x0b",  # eleven bytes
        b"\x01\x7f\x00\x41\x01\x41\x01\x6a\x0b",  # an expression
        b"\xff\xff\xff\x0f",  # a great many
        b"",
    ],
)
def test_damaged_globals_are_refused(globals_: bytes) -> None:
    with pytest.raises(Fault):
        exported_constants(HEADER + section(6, globals_))


@given(st.integers(8, len(COUNTER) - 1), st.binary(min_size=1, max_size=4))
def test_whatever_the_bytes_are_they_are_read_or_refused(at: int, noise: bytes) -> None:
    damaged = COUNTER[:at] + noise + COUNTER[at + len(noise) :]
    with contextlib.suppress(Fault):
        assert isinstance(exported_constants(damaged), dict)
