"""The same plug-ins and inputs in the official Extism host and in ours: the same outputs and errors."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehost.adapters.sandbox.worker.faults import Fault
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from tests.adapters.sandbox.guests import ENV, PLUGIN, opened, wasm
from tests.adapters.sandbox.in_process import Guest
from tests.adapters.sandbox.official_host import official_answer, official_plugin, our_answer
from tests.required_tools import require_tool

CONFIG = {"thing": "one", "": "nameless", "é": "accent", "empty": ""}
QUESTIONS = [
    "echo", "no_result", "nothing", "fail_with_input", "error_but_zero", "error_taken_back", "config_of_input",
    "var_of_input", "remember", "forget", "log_input", "count", "huge_output", "wrong_handle", "trap",
]  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    questions=st.lists(
        st.tuples(
            st.sampled_from(QUESTIONS),
            st.one_of(st.binary(max_size=40), st.sampled_from([k.encode() for k in (*CONFIG, "k")])),
        ),
        max_size=25,
    )
)
def test_a_plugin_answers_alike_in_both_hosts(questions: list[tuple[str, bytes]]) -> None:
    guest = Guest(PLUGIN, LoadPlan(config=CONFIG))
    plugin = official_plugin(wasm(PLUGIN), config=CONFIG)
    for function, payload in questions:
        assert in_process_answer(guest, function, payload) == plain(
            official_answer, plugin, function, payload
        )


def plain(ask: object, plugin: object, function: str, payload: bytes) -> tuple[str, bytes | str]:
    try:
        answer = ask(plugin, function, payload)  # type: ignore[operator]
    except UnicodeDecodeError:  # the official binding fails on an error text that is no UTF-8
        return _comparable("refusal", payload.decode("utf-8", "replace"))
    return _comparable(answer.kind, answer.body)


def in_process_answer(guest: Guest, function: str, payload: bytes) -> tuple[str, bytes | str]:
    try:
        return ("output", guest.call(function, payload))
    except Fault as fault:
        return _comparable("refusal" if fault.code == 2 else "trap", fault.message)


def _comparable(kind: str, body: bytes | str) -> tuple[str, bytes | str]:
    if kind == "trap" or (
        isinstance(body, str) and ("Error code" in body or "without an error text" in body)
    ):
        return (kind, "")  # each host has its own words for these
    if isinstance(body, str):
        body = body.partition("\0")[0]  # the official binding passes texts as C strings
    return (kind, body)


#: The memory functions, each as (name, number of arguments, whether it returns, whether the result is an i32).
OPERATIONS = [
    ("alloc", 1, True, False),
    ("free", 1, False, False),
    ("length", 1, True, False),
    ("length_unsafe", 1, True, False),
    ("load_u8", 1, True, True),
    ("load_u64", 1, True, False),
    ("input_load_u8", 1, True, True),
    ("input_load_u64", 1, True, False),
    ("input_offset", 0, True, False),
    ("input_length", 0, True, False),
    ("error_get", 0, True, False),
    ("output_set", 2, False, False),
    ("fill", 2, False, False),  # store_u8 and store_u64 into a block that is one
]
_STEP = struct.Struct("<Bqq")
_RESULTS_AT = 32_768


def _machine() -> str:
    """A plug-in that runs its input as a program of memory functions and outputs every result."""
    cases = []
    for number, (name, arguments, returns, narrow) in enumerate(OPERATIONS):
        given_ = " ".join(["(local.get $a)", "(local.get $b)"][:arguments])
        call = f"(call ${name} {given_})"
        if name == "fill":
            call = (
                "(if (i64.gt_u (call $length (local.get $a)) (i64.const 0)) (then "
                "(call $store_u8 (local.get $a) (i32.wrap_i64 (local.get $b)))"
                "(if (i64.ge_u (call $length (local.get $a)) (i64.const 9)) (then "
                "(call $store_u64 (i64.add (local.get $a) (i64.const 1)) (local.get $b))))))"
            )
        if narrow:
            call = f"(i64.extend_i32_u {call})"
        body = f"(local.set $r {call})" if returns else call
        cases.append(f"(if (i32.eq (local.get $op) (i32.const {number})) (then {body}))")
    return f"""(module {ENV} (memory 2)
      (func (export "run") (result i32)
        (local $i i32) (local $n i32) (local $at i32) (local $op i32) (local $a i64) (local $b i64) (local $r i64)
        (local.set $n (i32.wrap_i64 (call $input_length)))
        (block $copied (loop $copy (br_if $copied (i32.ge_u (local.get $i) (local.get $n)))
          (i32.store8 (local.get $i) (call $input_load_u8 (i64.extend_i32_u (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $copy)))
        (local.set $n (i32.div_u (local.get $n) (i32.const {_STEP.size}))) (local.set $i (i32.const 0))
        (block $ran (loop $step (br_if $ran (i32.ge_u (local.get $i) (local.get $n)))
          (local.set $at (i32.mul (local.get $i) (i32.const {_STEP.size})))
          (local.set $op (i32.load8_u (local.get $at)))
          (local.set $a (i64.load (i32.add (local.get $at) (i32.const 1))))
          (local.set $b (i64.load (i32.add (local.get $at) (i32.const 9))))
          (if (i32.and (local.get $op) (i32.const 128)) (then
            (local.set $op (i32.and (local.get $op) (i32.const 127)))
            (local.set $a (i64.load (i32.add (i32.const {_RESULTS_AT})
              (i32.shl (i32.and (i32.wrap_i64 (local.get $a)) (i32.const 31)) (i32.const 3)))))))
          (local.set $r (i64.const 0))
          {" ".join(cases)}
          (i64.store (i32.add (i32.const {_RESULTS_AT}) (i32.shl (local.get $i) (i32.const 3))) (local.get $r))
          (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $step)))
        (local.set $b (i64.shl (i64.extend_i32_u (local.get $n)) (i64.const 3)))
        (local.set $a (call $alloc (local.get $b)))
        (local.set $i (i32.const 0))
        (block $told (loop $tell (br_if $told (i32.ge_u (local.get $i) (local.get $n)))
          (call $store_u64 (i64.add (local.get $a) (i64.extend_i32_u (i32.shl (local.get $i) (i32.const 3))))
            (i64.load (i32.add (i32.const {_RESULTS_AT}) (i32.shl (local.get $i) (i32.const 3)))))
          (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $tell)))
        (call $output_set (local.get $a) (local.get $b)) (i32.const 0)))"""


MACHINE = _machine()
SIZES = st.one_of(
    st.integers(0, 300),
    st.integers(10_000, 40_000),
    st.sampled_from([128, 139, 140, 141, 65_000, 65_535, 70_000, 140_000]),
    st.just(-1 << 40),
)
PLACES = st.one_of(
    st.integers(60, 700),
    st.integers(65_400, 66_000),
    st.sampled_from([0, 1, 1 << 32, 1 << 62, -1 << 63, -1, -4, -8, -20, -64]),
)


@st.composite
def steps(draw: st.DrawFn) -> bytes:
    number = draw(st.one_of(st.integers(0, 1), st.integers(0, len(OPERATIONS) - 1)))
    name = OPERATIONS[number][0]
    a = draw(SIZES if name == "alloc" else PLACES)
    b = draw(st.integers(-300, 300))
    if name in ("fill", "free") or (name != "alloc" and draw(st.booleans())):
        number, a = number | 128, draw(st.integers(0, 31))
    return _STEP.pack(number, a, b)


@settings(max_examples=150, deadline=None)
@given(program=st.lists(steps(), max_size=32).map(b"".join))
def test_the_memory_functions_answer_alike(program: bytes) -> None:
    plan = LoadPlan(memory_kib=65_536, output_bytes=1 << 20)
    ours = in_process_answer(Guest(MACHINE, plan), "run", program)
    theirs = plain(official_answer, official_plugin(wasm(MACHINE), pages=1024), "run", program)
    assert ours == theirs


def test_offsets_are_those_of_the_official_allocator() -> None:
    sizes = [1065, 288, 30_000, 213, 33_000]
    program = b"".join(_STEP.pack(0, size, 0) for size in sizes)
    program += _STEP.pack(1 | 128, 2, 0)  # freed, and used again in pieces once the page is full
    program += b"".join(_STEP.pack(0, size, 0) for size in (1000, 128, 4, 20_000, 8000))
    answer = in_process_answer(Guest(MACHINE), "run", program)
    assert answer == plain(official_answer, official_plugin(wasm(MACHINE)), "run", program)


async def test_a_sandbox_and_the_official_host_agree() -> None:
    plugin = official_plugin(wasm(PLUGIN), config=CONFIG)
    async with opened(PLUGIN, config=CONFIG) as sandbox:
        for function in QUESTIONS:
            for payload in (b"thing", b"nothing", "é".encode()):
                ours, theirs = (
                    await our_answer(sandbox, function, payload),
                    official_answer(plugin, function, payload),
                )
                assert _comparable(ours.kind, ours.body) == _comparable(theirs.kind, theirs.body), function


@pytest.mark.slow
async def test_a_plugin_of_extisms_own_kit_runs_unmodified(tmp_path: Path) -> None:
    """The example that Extism ships with its AssemblyScript kit, built as its README says."""
    npm = require_tool("npm")
    (tmp_path / "package.json").write_text('{"private": true}')
    packages = ["@extism/as-pdk@1.0.0", "assemblyscript@0.27.37"]
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    await asyncio.to_thread(_run, [npm, "install", *quiet, *packages], tmp_path)
    kit = tmp_path / "node_modules" / "@extism" / "as-pdk"
    build = ["npx", "asc", "example.ts", "--outFile", "example.wasm", "--use", "abort=example/myAbort"]
    await asyncio.to_thread(_run, build, kit)
    module = (kit / "example.wasm").read_bytes()
    plugin = official_plugin(module, config={"thing": "one"})
    async with opened(module, config={"thing": "one"}) as sandbox:
        assert "count_vowels" in await sandbox.exports()
        for text in ("", "Hello, World!", "aeiouAEIOU" * 50):
            ours = await our_answer(sandbox, "count_vowels", text.encode())
            assert ours == official_answer(plugin, "count_vowels", text.encode())
            assert isinstance(ours.body, bytes)
            assert json.loads(ours.body)["config"] == "one"


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=50)
