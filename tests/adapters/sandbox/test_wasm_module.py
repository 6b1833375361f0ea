"""Reading a module's outline, and what wasm3 gets to see of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.engine import Engine
from edgehost.adapters.sandbox.worker.faults import Fault
from edgehost.adapters.sandbox.worker.wasm_module import read_module
from tests.adapters.sandbox.guests import PLUGIN, wasm


def refusal(text: str | bytes, *, memory_kib: int = 4096) -> str:
    binary = wasm(text) if isinstance(text, str) else text
    with pytest.raises(Fault) as caught:
        Engine(binary, {}, memory_kib=memory_kib, stack_kib=64)
    assert caught.value.code == wire.INVALID
    return f"{caught.value.message} {caught.value.hint}"


def test_the_outline_names_imports_and_exports() -> None:
    module = read_module(wasm(PLUGIN), memory_pages=64)
    assert str(module.imports["extism:host/env", "store_u8"]) == "v(Ii)"
    assert str(module.exports["echo"].signature) == "i()"
    assert module.start is None
    assert "memory" not in module.exports


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('(module (import "m" "memory" (memory 1)))', "is a memory"),
        ('(module (import "m" "table" (table 1 funcref)))', "is a table"),
        ('(module (import "m" "g" (global i32)))', "is a global"),
        ('(module (import "elsewhere" "f" (func)))', "no such host module"),
        ('(module (import "extism:host/env" "f" (func)))', "does not have"),
        (
            '(module (import "extism:host/user" "f" (func)) (import "extism:host/user" "g" (func)))',
            "and 1 more",
        ),
        ('(module (import "m" "f" (func (param v128))))', "cannot be passed"),
        ('(module (func (export "f") (result externref) (ref.null extern)))', "cannot be passed"),
        ("(module (memory 65))", "limits.memory_kib"),
        ("(module (memory 1) (memory 1))", "claims 2 memories"),
        ("(module (memory i64 1))", "64-bit memory"),
        ('(module (import "m" "f" (func)) (start 0))', "not one of the module's own"),
    ],
)
def test_what_cannot_run_here_is_refused_with_a_reason(text: str, words: str) -> None:
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("binary", "words"),
    [
        (b"", "does not start like"),
        (b"#!/bin/sh", "does not start like"),
        (b"\0asm\x0d\0\1\0", "component model"),
        (b"\0asm\1\0\0\0\x01", "ends too early"),
        (b"\0asm\1\0\0\0\x0e\0", "unknown, repeated or out of order"),
        (b"\0asm\1\0\0\0\x03\x01\0\x01\x01\0", "out of order"),
        (b"\0asm\1\0\0\0\x01\xff\xff\xff\xff\xff", "above 32 bits"),
        (b"\0asm\1\0\0\0\x01\x05\xff\xff\xff\xff\x0f", "claims 4294967295 types"),
        (b"\0asm\1\0\0\0\x01\x02\x01\x5f", "no function"),
        (b"\0asm\1\0\0\0\x02\x05\x01\x01\xff\x00\x00", "not UTF-8"),
        (b"\0asm\1\0\0\0\x07\x05\x01\x01f\x00\x09", "not there"),
        (b"\0asm\1\0\0\0\x08\x01\x09", "not one of the module's own"),
        (b"\0asm\1\0\0\0\x05\x03\x01\x03\x01", "shared or 64-bit"),
    ],
)
def test_a_malformed_module_is_refused_with_a_reason(binary: bytes, words: str) -> None:
    assert words in refusal(binary)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_the_reader_fail_in_another_way(data: st.DataObject) -> None:
    whole = bytearray(wasm(PLUGIN))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(8, len(whole)))
    with suppress(Fault):  # any other exception fails the test
        read_module(bytes(whole[:cut]), memory_pages=64)


def test_the_copy_for_wasm3_is_still_a_valid_module_without_extras() -> None:
    module = read_module(wasm(PLUGIN), memory_pages=7)
    copy = wasmtime.Module(wasmtime.Engine(), module.normalised)
    assert len(copy.exports) == len(module.exports)
    assert all(export.name.startswith("f") for export in copy.exports)


def test_a_name_section_cannot_redirect_an_export() -> None:
    text = (
        """(module (func $f (result i32) (i32.const 1)) (func $g (export "f") (result i32) (i32.const 2)))"""
    )
    engine = Engine(wasm(text), {}, memory_kib=64, stack_kib=64)
    assert engine.invoke(engine.export("f")) == 2


def test_a_function_may_have_many_names_and_strange_ones() -> None:
    names = ["a", "b", "c", "d", "e", "", "ü", "with space", "nul\\00nul"]
    text = f"(module (func {' '.join(f'(export {chr(34)}{name}{chr(34)})' for name in names)} (result i32) (i32.const 3)))"
    engine = Engine(wasm(text), {}, memory_kib=64, stack_kib=64)
    for name in engine.exports():
        assert engine.invoke(engine.export(name)) == 3
    assert len(engine.exports()) == len(names)


def test_an_import_that_is_exported_again_is_no_export() -> None:
    text = """(module (import "h" "f" (func (param i32))) (export "f" (func 0)))"""
    engine = Engine(wasm(text), {("h", "f"): ("v(i)", print)}, memory_kib=64, stack_kib=64)
    assert engine.exports() == ()


def test_the_start_function_runs_even_as_the_first_function() -> None:
    text = """(module (global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 9))) (start $s)
      (func (export "g") (result i32) (global.get $g)))"""
    engine = Engine(wasm(text), {}, memory_kib=64, stack_kib=64)
    engine.start()
    assert engine.invoke(engine.export("g")) == 9


def test_an_import_of_another_type_is_refused() -> None:
    binary = wasm('(module (import "h" "f" (func (param i32))))')
    with pytest.raises(Fault, match=r"imported as v\(i\); it is I\(I\)"):
        Engine(binary, {("h", "f"): ("I(I)", print)}, memory_kib=64, stack_kib=64)


def test_the_declared_maximum_holds_below_the_limit() -> None:
    text = """(module (memory 1 3) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""
    engine = Engine(wasm(text), {}, memory_kib=4096, stack_kib=64)
    grow = engine.export("grow")
    assert engine.invoke(grow, (2,)) == 1
    assert engine.memory_pages() == 3
    assert engine.invoke(grow, (1,)) == -1


def test_growing_moves_the_memory_and_the_engine_follows() -> None:
    text = """(module (memory 1) (func (export "grow") (drop (memory.grow (i32.const 20)))
      (i32.store8 (i32.const 100000) (i32.const 7))))"""
    engine = Engine(wasm(text), {}, memory_kib=4096, stack_kib=64)
    before = engine.memory().nbytes
    engine.invoke(engine.export("grow"))
    assert engine.memory().nbytes == before + 20 * 65_536
    assert engine.memory()[100_000] == 7
