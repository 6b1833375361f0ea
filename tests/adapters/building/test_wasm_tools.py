from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.domain.errors import InvalidComponentError, UnavailableError
from edgehost.domain.wasm_sections import CUSTOM, custom_section, leb128, module, read_sections, section
from tests.domain.wasm_samples import TYPES, memory, named, sample, vector

#: Calls through a table whose index takes five bytes, as LLVM writes it since 15; wasm3 refuses that.
_CALL = b"\x41\x00\x11" + b"\x80\x80\x80\x80\x00" * 2 + b"\x0b"
OVERLONG = module(
    (
        TYPES,
        section(3, vector([b"\x00"])),
        section(4, vector([b"\x70\x00\x01"])),
        section(7, vector([named("run") + b"\x00\x00"])),
        section(10, vector([leb128(len(_CALL) + 1) + b"\x00" + _CALL])),
    )
)


async def test_a_valid_module_keeps_what_it_does_and_loses_its_custom_sections() -> None:
    wasm = sample(memories=memory(1)) + custom_section("name", b"\0\1\0") + custom_section("producers", b"\0")
    result = await WasmTools().normalised(wasm)
    assert result == sample(memories=memory(1))
    assert not [found for found in read_sections(result) if found.id == CUSTOM]


async def test_the_same_module_gives_the_same_bytes() -> None:
    once = await WasmTools().normalised(sample())
    assert await WasmTools().normalised(sample()) == once
    assert await WasmTools().normalised(once) == once


async def test_overlong_table_indexes_are_written_short() -> None:
    result = await WasmTools().normalised(OVERLONG)
    assert b"\x80\x80\x80\x80\x00" in OVERLONG
    assert b"\x80\x80" not in result


@pytest.mark.parametrize("content", [b"", b"MZ" * 100, sample()[:-3], b"\0asm\x01\0\0\0\x01"])
async def test_garbage_never_reaches_the_tool(content: bytes) -> None:
    with pytest.raises(InvalidComponentError):
        await WasmTools("/nowhere").normalised(content)


async def test_a_module_that_is_not_valid_is_refused_with_the_tools_words() -> None:
    wasm = sample(body=b"\x42\x00")  # an i64 where an i32 is due
    with pytest.raises(InvalidComponentError, match="type mismatch"):
        await WasmTools().normalised(wasm)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("(module (func (result v128) (v128.const i64x2 0 0)))", "SIMD"),
        ("(module (memory 1 2 shared))", "shared|threads"),
        ('(module (func (export "f") (param externref)))', "reference types|externref"),
        (
            '(module (memory 1) (data "x") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0))))',
            "memory.init",
        ),
        (
            "(module (table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 0))))",
            "table.copy",
        ),
        ("(module (func $f (return_call $f)))", "tail calls"),
    ],
)
async def test_what_the_hosts_cannot_run_is_refused(text: str, what: str, tmp_path: Path) -> None:
    given, wasm = tmp_path / "given.wat", tmp_path / "given.wasm"
    given.write_text(text)
    tools = WasmTools()
    await tools._run("parse", "-o", str(wasm), str(given))
    with pytest.raises(InvalidComponentError, match=what):
        await tools.normalised(wasm.read_bytes())


async def test_a_missing_tool_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be started"):
        await WasmTools(str(tmp_path / "nowhere")).normalised(sample())
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"edgehost\[build\]"):
        await WasmTools().normalised(sample())


async def test_a_tool_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("edgehost.adapters.building.wasm_tools._TIMEOUT_S", 0.1)
    with pytest.raises(UnavailableError, match="did not end"):
        await WasmTools(str(slow)).normalised(sample())
