"""AssemblyScript's heap, read and written by a host that believes nothing."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.faults import Fault, Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from edgehost.domain.component_spec import Abi
from edgehost.domain.errors import DeadlineExceededError, GuestTrapError
from tests.adapters.sandbox.aegis_guests import (
    HEAP,
    PAGE,
    RTTI,
    answering,
    array_at,
    object_at,
    script_module,
    string_at,
)
from tests.adapters.sandbox.guests import opened
from tests.adapters.sandbox.in_process import Guest
from tests.journeys.guest_scenes import committed

AEGIS = LoadPlan(abi="aegis")
COUNTER = committed("aegis-counter")
ECHO = Guest(script_module(), AEGIS)


def ask(guest: Guest, function: str, document: Any = None) -> Any:
    output = guest.call(function, b"" if document is None else json.dumps(document).encode())
    return json.loads(output) if output else None


def answer_of(pointer: int, data: dict[int, bytes], *, output_bytes: int = 262_144) -> Any:
    return ask(Guest(answering(pointer, data), LoadPlan(abi="aegis", output_bytes=output_bytes)), "f")


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(max_size=40)


@given(st.dictionaries(_TEXTS, _TEXTS | st.integers() | st.booleans() | _NUMBERS, max_size=8))
@settings(max_examples=150)
@example({"": "", "\U0001f600": "\0", "a": True, "n": 1e21})
def test_pairs_come_back_as_they_were_sent(document: dict[str, Any]) -> None:
    envelope = {"port": "\0", "args": document}
    assert ask(ECHO, "echo", envelope) == {"result": {k: v for k, v in document.items() if k != "port"}}
    assert ask(ECHO, "pins") == 0


@given(st.lists(st.sampled_from("\ud800\udc00a\ud83d\ude00"), max_size=6).map("".join))
def test_half_of_a_surrogate_pair_reaches_the_guest_and_comes_back_replaced(text: str) -> None:
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert ask(ECHO, "echo", {"k": text}) == {"k": expected}


def test_a_getter_answers_a_string_a_list_or_null() -> None:
    assert answer_of(HEAP, string_at(HEAP, "Zo\u00eb \U0001f600")) == "Zo\u00eb \U0001f600"
    strings = array_at(HEAP, 4, (HEAP + 256, 0)) | string_at(HEAP + 256, "a")
    assert answer_of(HEAP, strings) == ["a", None]
    assert answer_of(0, {}) is None
    assert answer_of(HEAP, array_at(HEAP, 5, ())) == {}


def test_a_row_may_have_more_than_two_strings_and_no_value() -> None:
    row = array_at(HEAP + 256, 4, (HEAP + 512, 0, HEAP + 512)) | string_at(HEAP + 512, "key")
    assert answer_of(HEAP, array_at(HEAP, 5, (HEAP + 256,)) | row) == {"key": None}


PAIRS = HEAP
ROW = HEAP + 256
TEXT = HEAP + 512
LIES: dict[str, tuple[int, dict[int, bytes]]] = {
    "a pointer before the first header": (4, {}),
    "a pointer at the memory's end": (PAGE, {}),
    "a pointer behind the memory": (PAGE + 4, {}),
    "a pointer at the last byte": (PAGE - 1, {}),
    "a pointer near 2 GiB": (0x7FFFFFFF, {}),
    "no object": (HEAP, {}),
    "an object of another class": (HEAP, object_at(HEAP, 9, b"abcd")),
    "a buffer": (HEAP, object_at(HEAP, 1, b"abcd")),
    "a string of 1 GiB": (TEXT, string_at(TEXT, "a", size=1 << 30)),
    "a string of 4 GiB": (TEXT, string_at(TEXT, "a", size=0xFFFFFFFE)),
    "a string that reaches over the end": (TEXT, string_at(TEXT, "a", size=PAGE - TEXT + 2)),
    "half a character": (TEXT, string_at(TEXT, "ab", size=3)),
    "an array of 4 bytes": (PAIRS, object_at(PAIRS, 5, b"abcd")),
    "more items than bytes": (PAIRS, array_at(PAIRS, 5, (ROW,), length=2)),
    "2^30 items": (PAIRS, array_at(PAIRS, 5, (ROW,), length=1 << 30, size=0xFFFFFFFF)),
    "data at the end": (PAIRS, array_at(PAIRS, 5, (ROW,), start=PAGE - 2)),
    "data behind the end": (PAIRS, array_at(PAIRS, 5, (ROW,), start=0xFFFFFFFC)),
    "an array in itself": (PAIRS, array_at(PAIRS, 5, (PAIRS,))),
    "a row in itself": (PAIRS, array_at(PAIRS, 5, (ROW,)) | array_at(ROW, 4, (ROW, ROW))),
    "a list in itself": (ROW, array_at(ROW, 4, (ROW,))),
    "a row that is null": (PAIRS, array_at(PAIRS, 5, (0,))),
    "a row that is a string": (PAIRS, array_at(PAIRS, 5, (TEXT,)) | string_at(TEXT, "ab")),
    "a row of one": (PAIRS, array_at(PAIRS, 5, (ROW,)) | array_at(ROW, 4, (TEXT,)) | string_at(TEXT, "a")),
    "a key that is null": (PAIRS, array_at(PAIRS, 5, (ROW,)) | array_at(ROW, 4, (0, 0))),
    "an item behind the end": (ROW, array_at(ROW, 4, (PAGE,))),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_heap_is_a_trap(lie: str) -> None:
    pointer, data = LIES[lie]
    with pytest.raises(Trap):
        answer_of(pointer, data)


def test_what_is_larger_than_the_limit_is_refused_before_it_is_read() -> None:
    text = string_at(TEXT, "ab" * 4000)
    with pytest.raises(Fault, match="larger than 4 KiB") as caught:
        answer_of(TEXT, text, output_bytes=4096)
    assert caught.value.code == wire.TOO_LARGE
    # A thousand rows that share one string are as long as a thousand strings.
    row = array_at(ROW, 4, (TEXT, TEXT))
    rows = array_at(PAIRS + 20_000, 5, (ROW,) * 1000)
    with pytest.raises(Fault, match="larger than 256 KiB"):
        answer_of(PAIRS + 20_000, string_at(TEXT, "ab" * 4000) | row | rows)
    with pytest.raises(Fault, match="10001 rows"):
        answer_of(PAIRS + 20_000, array_at(PAIRS + 20_000, 5, (0,) * 10_001))


def test_an_answer_grows_in_json_and_is_measured_there_too() -> None:
    with pytest.raises(Fault, match="larger than 1 KiB"):
        answer_of(TEXT, string_at(TEXT, "\0" * 800), output_bytes=1024)


@pytest.mark.parametrize(
    "pointer", [0, 4, -16, PAGE - 4, PAGE, 0x7FFFFFF0], ids=["0", "4", "-16", "last", "end", "2G"]
)
def test_a_new_that_returns_rubbish_is_a_trap(pointer: int) -> None:
    new = f'(func (export "__new") (param i32 i32) (result i32) (i32.const {pointer}))'
    with pytest.raises(Trap, match="have no place"):
        ask(Guest(script_module(new=new), AEGIS), "echo", {"a": "b" * 40})


def test_a_new_that_always_returns_the_same_place_hurts_only_the_guest() -> None:
    new = f'(func (export "__new") (param i32 i32) (result i32) (i32.const {HEAP}))'
    with pytest.raises(Trap):
        ask(Guest(script_module(new=new), AEGIS), "echo", {"a": "b"})


def test_memory_that_moves_while_pairs_are_made_is_followed() -> None:
    guest = Guest(script_module(), LoadPlan(abi="aegis", memory_kib=4096, output_bytes=1 << 20))
    document = {f"key {number}": "x" * 700 for number in range(300)}
    assert ask(guest, "echo", document) == document
    assert guest.engine.memory_pages() > 4


def test_a_heap_that_is_full_is_a_trap() -> None:
    with pytest.raises(Trap, match="unreachable"):
        ask(Guest(script_module(), LoadPlan(abi="aegis", memory_kib=64)), "echo", {"a": "x" * 40_000})


def test_a_negative_number_is_a_refusal_and_the_pins_are_released() -> None:
    body = '(func (export "stop") (param i32) (result i32) (i32.const -1))'
    guest = Guest(script_module(body), AEGIS)
    for _ in range(2):
        with pytest.raises(Fault, match="stop refused with -1") as caught:
            ask(guest, "stop", {"a": 1})
        assert caught.value.code == wire.FAILED
    assert ask(guest, "pins") == 0


def test_a_hook_that_takes_nothing_is_a_hook_all_the_same() -> None:
    body = '(func (export "validate") (result i32) (i32.const 4096))'
    row = array_at(ROW, 4, (TEXT, TEXT + 64)) | string_at(TEXT, "status") | string_at(TEXT + 64, "no")
    guest = Guest(script_module(body, data=array_at(PAIRS, 5, (ROW,)) | row), AEGIS)
    assert ask(guest, "validate") == {"status": "no"}
    with pytest.raises(Fault, match=r"^no$"):
        ask(guest, "validate", {"event": "create", "id": "r1", "data": {}})


def test_numbers_go_in_and_out_as_numbers() -> None:
    body = """(func (export "add") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
      (func (export "next") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "third") (result f64) (f64.div (f64.const 1) (f64.const 3)))
      (func (export "nan") (result f64) (f64.const nan))
      (func (export "both") (param i64) (result i64 f64) (local.get 0) (f64.const inf))
      (func (export "quiet") (param i32))"""
    guest = Guest(script_module(body), AEGIS)
    assert ask(guest, "add", [1, 2.5]) == 3.5
    assert ask(guest, "add", [1, 2]) == 3
    assert ask(guest, "next", 4) == ask(guest, "next", [4]) == 5
    assert ask(guest, "third") == 1 / 3
    assert ask(guest, "nan") == "NaN"
    assert ask(guest, "both", [2**53 + 1]) == [2**53 + 1, "Infinity"]
    assert guest.call("quiet", b"{}") == b""
    for payload, message in ((b"{}", "takes numbers"), (b"[1]", "takes 2 arguments"), (b"", "takes numbers")):
        with pytest.raises(Fault, match=message):
            guest.call("add", payload)


@pytest.mark.parametrize(
    "payload", [b"[[]]", b'"text"', b"true", b"{", b"\xff", b"[" * 100_000, b'{"a":', b'{"a": NaN}']
)
def test_an_input_that_is_no_object_never_reaches_the_guest(payload: bytes) -> None:
    with pytest.raises(Fault) as caught:
        ECHO.call("echo", payload)
    assert caught.value.code == wire.REFUSED


@pytest.mark.parametrize("function", ["__new", "__pin", "__unpin", "__collect"])
def test_the_runtime_is_not_called_from_outside(function: str) -> None:
    with pytest.raises(Fault, match="own runtime"):
        ECHO.call(function, b"[1, 2]")


IMPORTS = """(import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "console.log" (func $log (param i32)))
  (import "env" "console.error" (func $error (param i32)))
  (import "env" "trace" (func $trace (param i32 i32 f64 f64 f64 f64 f64)))
  (import "env" "Date.now" (func $now (result f64)))
  (import "env" "performance.now" (func $clock (result f64)))
  (import "env" "seed" (func $seed (result f64)))
  (import "env" "callJsFunction" (func $js (param i32) (result i32)))"""
CALLS = """(func (export "abort") (param f64 f64)
    (call $abort (i32.trunc_f64_s (local.get 0)) (i32.trunc_f64_s (local.get 1)) (i32.const 7) (i32.const -1)))
  (func (export "log") (param f64) (call $log (i32.trunc_f64_s (local.get 0))))
  (func (export "error") (param f64) (call $error (i32.trunc_f64_s (local.get 0))))
  (func (export "trace") (call $trace (i32.const 4096) (i32.const 2)
    (f64.const 1.5) (f64.const 2) (f64.const 3) (f64.const 4) (f64.const 5)))
  (func (export "now") (result f64) (call $now))
  (func (export "clock") (result f64) (call $clock))
  (func (export "seed") (result f64) (call $seed))
  (func (export "js") (param i32) (result i32) (call $js (local.get 0)))"""


def talker(text: str = "ab", **more: Any) -> Guest:
    return Guest(script_module(CALLS, imports=IMPORTS, data=string_at(HEAP, text, **more)), AEGIS)


def test_abort_is_a_trap_with_its_message_and_place() -> None:
    with pytest.raises(Trap, match="ab in ab:7:4294967295"):
        ask(talker(), "abort", [HEAP, HEAP])
    with pytest.raises(Trap, match=r"abort in \?:7:"):
        ask(talker(), "abort", [0, 0])


@pytest.mark.parametrize("name", ["_start", "_initialize"])
def test_a_module_that_waits_for_its_start_is_started(name: str) -> None:
    body = f"""(global $ready (mut f64) (f64.const 0)) (func (export "{name}") (global.set $ready (f64.const 1)))
      (func (export "ready") (result f64) (global.get $ready))"""
    assert ask(Guest(script_module(body), AEGIS), "ready") == 1


def test_a_module_that_aborts_while_it_starts_says_why() -> None:
    body = "(func $begin (call $abort (i32.const 4096) (i32.const 0) (i32.const 1) (i32.const 2))) (start $begin)"
    with pytest.raises(Trap, match=r"ab in \?:1:2"):
        Guest(script_module(body, imports=IMPORTS, data=string_at(HEAP, "ab")), AEGIS)


def test_an_exit_ends_the_call() -> None:
    imports = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
    body = '(func (export "leave") (param i32) (result i32) (call $exit (i32.const 3)) (i32.const 0))'
    with pytest.raises(Fault, match="exit status 3"):
        ask(Guest(script_module(body, imports=imports), AEGIS), "leave", {})


@pytest.mark.parametrize("pointer", [1, PAGE, PAGE - 2, RTTI + 8, 0x7FFFFFFF, -1])
def test_a_wrong_pointer_in_an_import_is_a_trap(pointer: int) -> None:
    for function, arguments in (("abort", [pointer, 0]), ("abort", [0, pointer]), ("log", [pointer])):
        with pytest.raises(Trap):
            ask(talker(), function, arguments)


def test_a_log_line_of_a_gigabyte_is_a_trap_and_a_long_one_is_cut() -> None:
    with pytest.raises(Trap, match="claims 1073741824 bytes"):
        ask(talker(size=1 << 30), "log", [HEAP])
    guest = talker("x" * 20_000)
    ask(guest, "error", [HEAP])
    ask(guest, "log", [0])
    (level, text), null = guest.agent.lines
    assert (level, len(text)) == ("error", wire.LONGEST_TEXT)
    assert null == ("info", "null")


def test_the_clock_the_seed_and_the_log_are_there() -> None:
    guest = talker()
    assert ask(guest, "now") > 1_600_000_000_000
    assert ask(guest, "clock") <= ask(guest, "clock")
    assert ask(guest, "seed") != ask(guest, "seed")
    ask(guest, "trace")
    assert ask(guest, "js", {"a": 1}) is None
    assert guest.agent.lines[0] == ("debug", "ab 1.5 2")
    assert guest.agent.lines[1][0] == "warning"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('(module (memory (export "memory") 1))', "no export __new"),
        (script_module().replace("__unpin", "unpin"), "no export __unpin"),
        (
            script_module(new='(func (export "__new") (param i32) (result i32) (i32.const 0))'),
            "no export __new",
        ),
        (script_module().replace("__rtti_base", "rtti"), "does not export __rtti_base"),
        (script_module(rtti=PAGE - 2), "does not export __rtti_base"),
        (script_module(rtti=PAGE - 4, data={PAGE - 4: b"\xff\xff\xff\x7f"}), "no list of classes"),
        (script_module(classes=struct.pack("<3I", 2, 2, 2)), "cannot be told"),
        (script_module(classes=struct.pack("<7I", 6, 0x4002, 0x4002, 0, 0x4002, 0, 0)), "cannot be told"),
    ],
)
def test_a_module_without_the_runtime_is_refused(text: str, message: str) -> None:
    with pytest.raises(Fault, match=message) as caught:
        Guest(text, AEGIS)
    assert caught.value.code == wire.INVALID


def test_the_classes_are_found_where_the_module_has_them() -> None:
    two = struct.pack("<9I", 8, 0, 0, 0, 0, 0, 0x4002, 0, 0x4002)
    moved = Guest(script_module(classes=two), AEGIS)
    assert ask(moved, "echo", {"a": "b"}) == {"a": "b"}
    named = struct.pack("<9I", 8, 0, 0x4002, 0, 0, 0x4002, 0x4002, 0x4002, 0)
    text = script_module('(global (export "ArrayOfStrings_ID") i32 (i32.const 5))', classes=named)
    guest = Guest(text, AEGIS)
    assert ask(guest, "echo", {"a": "b"}) == {"a": "b"}


@given(st.binary(max_size=400), st.integers(0, PAGE + 16), st.sampled_from([1, 2, 4, 5]), st.integers(0, 64))
@settings(max_examples=300)
def test_no_memory_is_too_odd_to_be_read(noise: bytes, pointer: int, kind: int, size: int) -> None:
    memory = PEEK.engine.memory()
    memory[HEAP : HEAP + len(noise)] = noise
    near = HEAP + pointer % 512
    struct.pack_into("<2I", memory, near - 8, kind, size)
    for place in (pointer, near):
        struct.pack_into("<I", memory, 8, place)
        try:
            output = PEEK.call("f")
        except Fault:
            continue
        json.loads(output)


PEEK = Guest(script_module('(func (export "f") (result i32) (i32.load (i32.const 8)))'), AEGIS)


def test_a_real_module_keeps_its_memory_over_thousands_of_calls() -> None:
    guest = Guest(COUNTER, LoadPlan(abi="aegis", memory_kib=1024))
    document = {"name": "x" * 2000, **{f"k{number}": "y" * 100 for number in range(20)}}
    ask(guest, "describe", document)
    pages = guest.engine.memory_pages()
    for _ in range(2000):
        assert ask(guest, "describe", document)["name.length"] == "2000"
    assert guest.engine.memory_pages() <= 2 * pages


async def test_an_allocator_that_never_returns_meets_the_deadline_and_others_run_on() -> None:
    new = '(func (export "__new") (param i32 i32) (result i32) (loop $again (br $again)) (i32.const 0))'
    async with opened(script_module(new=new), abi=Abi.AEGIS) as sandbox:
        with pytest.raises(DeadlineExceededError):
            await sandbox.call("echo", b'{"a": "b"}', deadline_s=0.2)
        assert not sandbox.alive


async def test_the_confined_process_serves_the_convention_as_well() -> None:
    lines: list[tuple[str, str]] = []
    async with opened(COUNTER, abi=Abi.AEGIS, lines=lines) as sandbox:
        assert await sandbox.call("getEndpoint", b"", deadline_s=1) == b'"counters"'
        output = await sandbox.call("increment", b'{"name": "Zo\xc3\xab", "by": 2}', deadline_s=1)
        assert json.loads(output) == {"count": "2.0", "by": 2}
        assert lines == [("info", "Zo\u00eb counts 2.0")]
        with pytest.raises(GuestTrapError, match="fibonacci must be 0 to 25"):
            await sandbox.call("runFibonacci", b'{"fibonacci": 99}', deadline_s=1)
