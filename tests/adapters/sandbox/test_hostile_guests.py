"""What a component may try, and what it gets."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_file import read_component
from edgehost.domain.component_spec import HOST_FUNCTIONS, Abi
from edgehost.domain.errors import (
    DeadlineExceededError,
    GuestTrapError,
    InvalidComponentError,
    SandboxDiedError,
    TooLargeError,
)
from edgehost.ports.sandbox import CallContext
from tests.adapters.sandbox.guests import ASKER, ENV, PLUGIN, no_host, opened, plan_of, wasm

EXAMPLES = Path(__file__).parents[3] / "examples"
START_LOOP = "(module (func $s (loop $l (br $l))) (start $s))"
INITIALIZE_LOOP = '(module (func (export "_initialize") (loop $l (br $l))))'
START_TRAP = '(module (func $s unreachable) (start $s) (func (export "f") (result i32) (i32.const 0)))'


@pytest.mark.parametrize("name", ["recurse", "recurse_mutually", "recurse_indirectly"])
@pytest.mark.parametrize("stack_kib", [8, 64, 256])
async def test_unbounded_recursion_is_a_trap(name: str, stack_kib: int) -> None:
    async with opened(PLUGIN, limits={"stack_kib": stack_kib}) as sandbox:
        with pytest.raises(GuestTrapError, match="stack overflow"):
            await sandbox.call(name, b"", deadline_s=5)
        assert sandbox.alive
        assert await sandbox.call("echo", b"still here", deadline_s=5) == b"still here"


async def test_an_endless_loop_is_killed_at_its_deadline() -> None:
    async with opened(PLUGIN) as sandbox:
        with pytest.raises(DeadlineExceededError):
            await sandbox.call("spin", b"", deadline_s=0.2)
        assert not sandbox.alive
        with pytest.raises(SandboxDiedError):
            await sandbox.call("echo", b"", deadline_s=1)


async def test_the_loop_serves_others_while_a_guest_spins() -> None:
    async with opened(PLUGIN) as sandbox:
        turns = 0
        async with asyncio.TaskGroup() as group:
            spinning = group.create_task(_expect_deadline(sandbox.call("spin", b"", deadline_s=0.2)))
            while not spinning.done():
                await asyncio.sleep(0.001)
                turns += 1
        assert turns > 2


async def _expect_deadline(call: object) -> None:
    with pytest.raises(DeadlineExceededError):
        await call  # type: ignore[misc]


@pytest.mark.parametrize("module", [START_LOOP, INITIALIZE_LOOP])
@pytest.mark.parametrize("abi", [Abi.EXTISM, Abi.PLAIN])
async def test_an_endless_start_is_killed_at_the_start_deadline(module: str, abi: Abi) -> None:
    with pytest.raises(DeadlineExceededError, match="did not start"):
        async with opened(module, abi=abi, start_deadline_s=0.3):
            pass


async def test_a_trap_in_the_start_function_refuses_the_module() -> None:
    with pytest.raises(InvalidComponentError, match="unreachable"):
        async with opened(START_TRAP):
            pass


async def test_memory_grows_to_the_limit_and_no_further() -> None:
    async with opened(PLUGIN, limits={"memory_kib": 1024}) as sandbox:
        pages = await sandbox.call("grow_to_the_limit", b"", deadline_s=5)
        assert int.from_bytes(pages, "little") == 16


async def test_extism_memory_counts_against_the_same_limit() -> None:
    async with opened(PLUGIN, limits={"memory_kib": 1024}) as sandbox:
        with pytest.raises(GuestTrapError, match="oom"):
            await sandbox.call("fill_extism_memory", b"", deadline_s=5)


async def test_a_module_that_needs_more_than_its_limit_is_refused() -> None:
    with pytest.raises(InvalidComponentError, match="memory_kib"):
        async with opened("(module (memory 100))", limits={"memory_kib": 1024}):
            pass


@pytest.mark.parametrize("name", ["huge_output", "long_output"])
async def test_an_output_beyond_its_limit_is_refused(name: str) -> None:
    async with opened(PLUGIN) as sandbox:
        if name == "huge_output":  # Extism ignores a range that is not in its memory
            assert await sandbox.call(name, b"", deadline_s=5) == b""
        else:
            with pytest.raises(TooLargeError, match="output_kib"):
                await sandbox.call(name, b"", deadline_s=5)
        assert await sandbox.call("echo", b"fine", deadline_s=5) == b"fine"


async def test_an_output_of_a_gigabyte_never_leaves_the_sandbox() -> None:
    module = f"""(module {ENV} (func (export "run") (result i32)
      (call $output_set (call $alloc (i64.const 1073741824)) (i64.const 1073741824)) (i32.const 0)))"""
    async with opened(module, limits={"memory_kib": 1_048_576}) as sandbox:
        with pytest.raises((TooLargeError, GuestTrapError)):
            await sandbox.call("run", b"", deadline_s=20)


async def test_an_input_beyond_its_limit_is_refused_before_it_is_sent() -> None:
    async with opened(PLUGIN, limits={"input_kib": 1}) as sandbox:
        with pytest.raises(TooLargeError, match="input_kib"):
            await sandbox.call("echo", b"x" * 1025, deadline_s=5)
        assert await sandbox.call("echo", b"x" * 1024, deadline_s=5) == b"x" * 1024


async def test_a_flood_of_host_calls_is_a_trap() -> None:
    asked = 0

    async def count(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
        nonlocal asked
        asked += 1
        return b"{}"

    async with opened(
        ASKER, host_call=count, grants={"functions": ("find",)}, limits={"host_calls": 50}
    ) as sandbox:
        with pytest.raises(GuestTrapError, match="host_calls"):
            await sandbox.call("ask_for_ever", b"?", deadline_s=5)
        assert asked == 50
        assert await sandbox.call("ask", b"?", deadline_s=5) == b"{}"


async def test_a_host_call_with_too_much_is_a_trap() -> None:
    async with opened(ASKER, grants={"functions": ("find",)}) as sandbox:
        with pytest.raises(GuestTrapError, match="may carry"):
            await sandbox.call("ask_with_a_lot", b"", deadline_s=5)


async def test_a_flood_of_log_lines_is_cut_and_counted() -> None:
    lines: list[tuple[str, str]] = []
    async with opened(PLUGIN, lines=lines, limits={"log_lines": 20}) as sandbox:
        await sandbox.call("flood_the_log", b"", deadline_s=10)
        assert len(lines) == 21
        assert lines[-1] == ("warning", "4980 more lines were dropped")
        assert await sandbox.call("echo", b"x", deadline_s=5) == b"x"


async def test_a_long_log_line_is_cut() -> None:
    lines: list[tuple[str, str]] = []
    async with opened(PLUGIN, lines=lines) as sandbox:
        await sandbox.call("log_input", "é".encode() * 50_000, deadline_s=5)
    assert lines == [("info", "é" * 2048)]


async def test_a_log_line_cannot_forge_another_or_drive_a_terminal() -> None:
    lines: list[tuple[str, str]] = []
    async with opened(PLUGIN, lines=lines) as sandbox:
        await sandbox.call("log_input", b"fine\tand\nERROR forged \x1b[2J", deadline_s=5)
    assert lines == [("info", "fine\tand\\nERROR forged \\x1b[2J")]


async def test_garbage_and_truncated_modules_are_refused() -> None:
    whole = wasm(PLUGIN)
    chance = random.Random(7)  # noqa: S311 - the same garbage each time
    broken = [b"", b"\0asm", b"\x7fELF" + whole, whole[:8] + b"\x0d" + whole[9:]]
    broken += [whole[: chance.randrange(9, len(whole) - 1)] for _ in range(12)]
    broken += [whole[:8] + bytes(chance.randrange(256) for _ in range(200)) for _ in range(12)]
    async with open_sandbox_factory() as factory:
        for module in broken:
            with pytest.raises((InvalidComponentError, SandboxDiedError)):
                await factory.start(plan_of(module), host_call=no_host, log=lambda *_: None)
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        assert await sandbox.call("echo", b"the factory lives", deadline_s=5) == b"the factory lives"


async def test_a_large_module_loads_and_a_huge_one_is_refused() -> None:
    padding = b"\0" + b"\x81\x80\x80\x0a" + bytes(20 * 1024 * 1024 + 1)  # a custom section of 20 MiB
    async with opened(wasm(PLUGIN) + padding) as sandbox:
        assert await sandbox.call("echo", b"x", deadline_s=5) == b"x"
    with pytest.raises(InvalidComponentError, match="at most"):
        async with opened(wasm(PLUGIN) + padding * 5):
            pass


#: Valid, but wasm3 0.5.0 cannot compile 'bulk': passive segments are not in its feature set.
UNCOMPILABLE = """(module (memory 1) (data $d "abc")
  (func (export "bulk") (result i32)
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 3)) (i32.const 0))
  (func (export "fine") (result i32) (i32.const 0)))"""
UNCOMPILABLE_SIMD = """(module
  (func (export "simd") (result i32) (i8x16.extract_lane_s 0 (v128.const i64x2 0 0)))
  (func (export "fine") (result i32) (i32.const 0)))"""


@pytest.mark.parametrize(("module", "name"), [(UNCOMPILABLE, "bulk"), (UNCOMPILABLE_SIMD, "simd")])
async def test_a_function_that_cannot_be_compiled_condemns_the_sandbox(module: str, name: str) -> None:
    try:
        async with opened(module) as sandbox:
            with pytest.raises(InvalidComponentError):
                await sandbox.call(name, b"", deadline_s=5)
            assert not sandbox.alive
            with pytest.raises(SandboxDiedError):
                await sandbox.call("fine", b"", deadline_s=5)
    except InvalidComponentError:
        pass  # refused as early as at load


async def test_exports_that_cannot_be_compiled_are_named() -> None:
    async with opened(UNCOMPILABLE_SIMD) as sandbox:
        with pytest.raises(InvalidComponentError, match="simd"):
            await sandbox.exports()
        assert not sandbox.alive


async def test_leaks_of_the_binding_retire_the_sandbox() -> None:
    async with opened(PLUGIN) as sandbox:
        assert await sandbox.call("many_imports_called", b"", deadline_s=10) == b""
        assert not sandbox.alive


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*.wasm"))
)
async def test_every_example_compiles_in_a_sandbox(name: str) -> None:
    module = await asyncio.to_thread((EXAMPLES / name).read_bytes)
    abi = read_component(module).abi
    async with opened(module, abi=abi, grants={"functions": tuple(HOST_FUNCTIONS)}) as sandbox:
        assert await sandbox.exports()
