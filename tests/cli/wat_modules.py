"""Small modules in text form, for what no example does: misbehave."""

from __future__ import annotations

from pathlib import Path

import wasmtime

MISBEHAVING = """
(module
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "halve") (param f64) (result f64) local.get 0 f64.const 2 f64.div)
  (func (export "pair") (param i64) (result i64 i64) local.get 0 i64.const -1)
  (func (export "trap") unreachable)
  (func (export "spin") (loop br 0))
  (func $deeper (export "recurse") call $deeper)
  (func (export "grow") (result i32) i32.const 60000 memory.grow))
"""

#: Puts its input out again, after a line in the log; refuses the empty one with an error text.
ECHO = """
(module
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (func $letter (param $byte i32) (result i64)
    (local $at i64)
    (local.set $at (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $at) (local.get $byte))
    (local.get $at))
  (func (export "echo") (result i32)
    (call $log_info (call $letter (i32.const 104)))
    (if (i64.eqz (call $input_length))
      (then (call $error_set (call $letter (i32.const 33))) (return (i32.const 1))))
    (call $output_set (call $input_offset) (call $input_length))
    (i32.const 0))
  (func (export "config_k") (result i32)
    (local $at i64)
    (local.set $at (call $config_get (call $letter (i32.const 107))))
    (call $output_set (local.get $at) (call $length (local.get $at)))
    (i32.const 0)))
"""

#: Calls through its table.
INDIRECT = """
(module
  (type $number (func (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $seven)
  (func $seven (result i32) i32.const 7)
  (func (export "run") (result i32) (call_indirect (type $number) (i32.const 0))))
"""


def overlong_indirect() -> bytes:
    """INDIRECT with the two numbers of its call_indirect in five bytes each, as LLVM's linker leaves them."""
    short, long = b"\x11\x00\x00\x0b", b"\x11\x80\x80\x80\x80\x00\x80\x80\x80\x80\x00\x0b"
    module = bytearray(wasmtime.wat2wasm(INDIRECT))
    at = module.index(short)
    body_size, code_size = at - 4, module.rindex(b"\x0a", 0, at) + 1
    for size in (body_size, code_size):
        module[size] += len(long) - len(short)
    module[at : at + len(short)] = long
    return bytes(module)


def write_module(path: Path, text: str) -> Path:
    """The module as a file."""
    path.write_bytes(bytes(wasmtime.wat2wasm(text)))
    return path
