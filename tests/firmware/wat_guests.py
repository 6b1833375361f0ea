"""Guests for the firmware, good and bad, written as WebAssembly text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import wasmtime

from edgehost.domain.component_file import embed_spec

_OUTPUT = """
  (import "extism:host/env" "alloc" (func (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func (param i64 i32)))
  (import "extism:host/env" "output_set" (func (param i64 i64)))"""


def component(wat: str, document: Mapping[str, Any] | None = None) -> bytes:
    """A module with a specification as the builder would embed it."""
    return embed_spec(
        bytes(wasmtime.wat2wasm(wat)),
        document or {"name": "device-blink", "version": "1.0.0", "kind": "service"},
    )


def with_probe(wat: str) -> bytes:
    """The same, its export ``probe`` called before it may run."""
    return component(
        wat,
        {"name": "device-blink", "version": "1.0.0", "kind": "service", "probe": {"export": "probe"}},
    )


def saying(text: str) -> bytes:
    """Answers ``who`` with a text."""
    stores = "".join(
        f"(call 1 (i64.add (local.get 0) (i64.const {i})) (i32.const {ord(c)}))" for i, c in enumerate(text)
    )
    return with_probe(f"""(module {_OUTPUT}
      (func (export "probe") (result i32) (i32.const 0))
      (func (export "who") (result i32) (local i64)
        (local.set 0 (call 0 (i64.const {len(text)}))) {stores}
        (call 2 (local.get 0) (i64.const {len(text)})) (i32.const 0)))""")


_EVENT = '{"type":"moved",\n"data":7}'
NOTIFYING = component(f"""(module
  (import "extism:host/env" "alloc" (func (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func (param i64 i32)))
  (import "extism:host/user" "notify" (func (param i64) (result i64)))
  (func (export "tell") (result i32) (local i64)
    (local.set 0 (call 0 (i64.const {len(_EVENT)})))
    {
    "".join(
        f"(call 1 (i64.add (local.get 0) (i64.const {i})) (i32.const {ord(c)}))" for i, c in enumerate(_EVENT)
    )
}
    (drop (call 2 (local.get 0))) (i32.const 0))
  (func (export "tell_much") (result i32) (drop (call 2 (call 0 (i64.const 2000)))) (i32.const 0)))""")

LOOPING = component("""(module (memory 1) (global (mut i32) (i32.const 0))
  (func (export "spin") (result i32) (loop (br 0)) (i32.const 0))
  (func (export "spin_conditionally") (result i32) (loop (br_if 0 (i32.const 1))) (i32.const 0))
  (func (export "spin_by_table") (result i32) (loop (br_table 0 0 (i32.const 0))) (i32.const 0))
  (func (export "spin_nested") (result i32) (loop (loop (br_if 1 (i32.const 1)) (br 0))) (i32.const 0))
  (func (export "spin_calling") (result i32) (loop (drop (call 5)) (br 0)) (i32.const 0))
  (func (result i32) (i32.const 7))
  (func (export "fill") (result i32)
    (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000)) (br 0)) (i32.const 0))
  (func (export "spin_slowly") (result i32) (loop
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 4000)) (memory.fill (i32.const 0) (i32.const 2) (i32.const 4000))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 4000)) (memory.fill (i32.const 0) (i32.const 2) (i32.const 4000))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 4000)) (memory.fill (i32.const 0) (i32.const 2) (i32.const 4000))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 4000)) (memory.fill (i32.const 0) (i32.const 2) (i32.const 4000))
    (br 0)) (i32.const 0))
  (func (export "count") (result i32)
    (global.set 0 (i32.add (global.get 0) (i32.const 1)))
    (if (i32.gt_u (global.get 0) (i32.const 1)) (then (unreachable))) (i32.const 0)))""")

RECURSING = component("""(module
  (type (func (result i32))) (table 1 funcref) (elem (i32.const 0) 1)
  (func (export "direct") (result i32) (call 0))
  (func (export "indirect") (result i32) (call_indirect (type 0) (i32.const 0)))
  (func (export "mutual") (result i32) (call 3))
  (func (result i32) (call 2)))""")

TRAPPING = component("""(module (memory 1)
  (func (export "unreachable") (result i32) (unreachable))
  (func (export "divide") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
  (func (export "beyond") (result i32) (i32.load (i32.const 5000)))
  (func (export "inside") (result i32) (drop (i32.load (i32.const 4000))) (i32.const 0))
  (func (export "grow") (result i32) (i32.add (i32.const 1) (memory.grow (i32.const 1)))))""")

LOOPING_PROBE = with_probe("""(module (func (export "probe") (result i32) (loop (br 0)) (i32.const 0)))""")
TRAPPING_PROBE = with_probe("""(module (func (export "probe") (result i32) (unreachable)))""")
UNKNOWN_IMPORT = with_probe("""(module (import "extism:host/user" "save" (func (param i64) (result i64)))
  (func (export "probe") (result i32) (drop (call 0 (i64.const 0))) (i32.const 0)))""")
IMPORTED_MEMORY = component("""(module (import "env" "memory" (memory 1))
  (func (export "a") (result i32) (i32.load (i32.const 0))))""")
STARTING = component("""(module (memory 1)
  (func (i32.store (i32.const 0) (i32.const 42)))
  (func (export "started") (result i32) (i32.ne (i32.load (i32.const 0)) (i32.const 42)))
  (start 0))""")
LOOPING_START = component("""(module (func (loop (br 0))) (start 0))""")
NAMED = component("""(module (func $named (export "a") (result i32) (i32.const 0)))""")


def nested(depth: int) -> bytes:
    """Blocks in blocks: the engine's compiler recurses over them."""
    body = "block " * depth + "end " * depth
    return with_probe(f"""(module (func (export "probe") (result i32) {body} (i32.const 0)))""")
