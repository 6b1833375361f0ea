"""Guests as WebAssembly text, and how tests run them."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import wasmtime

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.domain.component_spec import Abi, Grants, Limits
from edgehost.domain.errors import NotFoundError
from edgehost.ports.sandbox import CallContext, HostCall, SandboxPlan

ENV = """
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "error_get" (func $error_get (result i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
"""

#: Each export does what its name says to the input.
PLUGIN = f"""(module {ENV}
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))
  (memory (export "memory") 1)
  (global $count (mut i64) (i64.const 0))
  (func $out (param i64) (call $output_set (local.get 0) (call $length (local.get 0))))
  (func (export "echo") (result i32)
    (call $output_set (call $input_offset) (call $input_length)) (i32.const 0))
  (func (export "no_result") (call $output_set (call $input_offset) (call $input_length)))
  (func (export "nothing") (result i32) (i32.const 0))
  (func (export "fail_with_input") (result i32) (call $error_set (call $input_offset)) (i32.const 1))
  (func (export "fail_in_silence") (result i32) (i32.const 7))
  (func (export "error_but_zero") (result i32) (call $error_set (call $input_offset)) (i32.const 0))
  (func (export "error_taken_back") (result i32)
    (call $error_set (call $input_offset)) (call $error_set (i64.const 0)) (i32.const 0))
  (func (export "trap_with_error") (result i32) (call $error_set (call $input_offset)) unreachable)
  (func (export "trap") (result i32) unreachable)
  (func (export "config_of_input") (result i32) (call $out (call $config_get (call $input_offset))) (i32.const 0))
  (func (export "var_of_input") (result i32) (call $out (call $var_get (call $input_offset))) (i32.const 0))
  (func (export "remember") (result i32) (local $key i64)
    (local.set $key (call $alloc (i64.const 1))) (call $store_u8 (local.get $key) (i32.const 107))
    (call $var_set (local.get $key) (call $input_offset)) (i32.const 0))
  (func (export "forget") (result i32) (local $key i64)
    (local.set $key (call $alloc (i64.const 1))) (call $store_u8 (local.get $key) (i32.const 107))
    (call $var_set (local.get $key) (i64.const 0)) (i32.const 0))
  (func (export "log_input") (result i32) (call $log_info (call $input_offset)) (i32.const 0))
  (func (export "log_each_level") (result i32) (local $p i64)
    (local.set $p (call $alloc (i64.const 1))) (call $store_u8 (local.get $p) (i32.const 116))
    (call $log_trace (local.get $p))
    (local.set $p (call $alloc (i64.const 1))) (call $store_u8 (local.get $p) (i32.const 100))
    (call $log_debug (local.get $p))
    (local.set $p (call $alloc (i64.const 1))) (call $store_u8 (local.get $p) (i32.const 119))
    (call $log_warn (local.get $p))
    (local.set $p (call $alloc (i64.const 1))) (call $store_u8 (local.get $p) (i32.const 101))
    (call $log_error (local.get $p)) (i32.const 0))
  (func (export "wrong_handle") (result i32) (drop (call $config_get (i64.const 1234567))) (i32.const 0))
  (func (export "wrong_log_handle") (result i32) (call $log_info (i64.const 99)) (i32.const 0))
  (func (export "count") (result i32) (local $p i64)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (local.set $p (call $alloc (i64.const 8))) (call $store_u64 (local.get $p) (global.get $count))
    (call $output_set (local.get $p) (i64.const 8)) (i32.const 0))
  (func (export "spin") (result i32) (loop $again (br $again)) (i32.const 0))
  (func $recurse (call $recurse))
  (func (export "recurse") (result i32) (call $recurse) (i32.const 0))
  (func $even (param i64) (result i64) (call $odd (i64.add (local.get 0) (i64.const 1))))
  (func $odd (param i64) (result i64) (call $even (i64.add (local.get 0) (i64.const 1))))
  (func (export "recurse_mutually") (result i32) (drop (call $even (i64.const 0))) (i32.const 0))
  (table 1 funcref) (elem (i32.const 0) $indirect)
  (func $indirect (call_indirect (i32.const 0)))
  (func (export "recurse_indirectly") (result i32) (call $indirect) (i32.const 0))
  (func (export "grow_to_the_limit") (result i32) (local $p i64)
    (block $done (loop $more
      (br_if $done (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $more)))
    (local.set $p (call $alloc (i64.const 8)))
    (call $store_u64 (local.get $p) (i64.extend_i32_u (memory.size)))
    (call $output_set (local.get $p) (i64.const 8)) (i32.const 0))
  (func (export "fill_extism_memory") (result i32) (loop $more
    (drop (call $alloc (i64.const 60000))) (br $more)) (i32.const 0))
  (func (export "huge_output") (result i32) (local $p i64)
    (local.set $p (call $alloc (i64.const 8)))
    (call $output_set (local.get $p) (i64.const 1073741824)) (i32.const 0))
  (func (export "long_output") (result i32)
    (call $output_set (call $alloc (i64.const 300000)) (i64.const 300000)) (i32.const 0))
  (func (export "flood_the_log") (result i32) (local $n i32) (local $p i64)
    (loop $more
      (local.set $p (call $alloc (i64.const 4))) (call $log_info (local.get $p))
      (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000))))
    (i32.const 0))
  (func (export "takes_arguments") (param i32) (result i32) (i32.const 0))
  (func (export "returns_i64") (result i64) (i64.const 0))
  (func (export "many_imports_called") (result i32) (local $n i32)
    (loop $more (drop (call $load_u64 (i64.const 1000)))
      (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 200000))))
    (i32.const 0))
)"""

#: Passes the input to a granted function and returns its reply.
ASKER = f"""(module {ENV}
  (import "extism:host/user" "find" (func $find (param i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "ask") (result i32) (local $r i64)
    (local.set $r (call $find (call $input_offset)))
    (call $output_set (local.get $r) (call $length (local.get $r))) (i32.const 0))
  (func (export "ask_for_ever") (result i32)
    (loop $more (call $free (call $find (call $input_offset))) (br $more)) (i32.const 0))
  (func (export "ask_with_a_lot") (result i32) (drop (call $find (call $alloc (i64.const 300000)))) (i32.const 0))
  (func (export "ask_with_a_wrong_handle") (result i32) (drop (call $find (i64.const 99))) (i32.const 0))
)"""

NUMBERS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "divide") (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1)))
  (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func (export "nothing"))
)"""


@functools.cache
def wasm(text: str) -> bytes:
    """The module in binary."""
    return bytes(wasmtime.wat2wasm(text))


def plan_of(module: str | bytes, *, abi: Abi = Abi.EXTISM, **more: Any) -> SandboxPlan:
    """A plan for a guest; ``limits`` and ``grants`` members by name, the rest as in SandboxPlan."""
    limits = Limits(**more.pop("limits", {}))
    grants = Grants(**more.pop("grants", {}))
    binary = wasm(module) if isinstance(module, str) else module
    return SandboxPlan("guest", binary, abi=abi, limits=limits, grants=grants, **more)


async def no_host(component: str, function: str, payload: bytes, context: CallContext) -> bytes:
    raise NotFoundError(f"nothing here: {component} {function} {len(payload)} {len(context.chain)}")


@asynccontextmanager
async def opened(
    module: str | bytes,
    *,
    host_call: HostCall = no_host,
    lines: list[tuple[str, str]] | None = None,
    withheld: Mapping[str, str] | None = None,
    start_deadline_s: float = 5.0,
    **more: Any,
) -> AsyncIterator[WasmSandbox]:
    """A sandbox of its own zygote."""

    def log(_component: str, level: str, text: str) -> None:
        if lines is not None:
            lines.append((level, text))

    async with open_sandbox_factory(withheld=withheld, start_deadline_s=start_deadline_s) as factory:
        yield await factory.start(plan_of(module, **more), host_call=host_call, log=log)
