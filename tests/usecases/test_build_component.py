from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_file import read_component
from edgehost.domain.component_spec import HOST_FUNCTIONS, read_component_spec
from edgehost.domain.errors import InvalidComponentError, InvalidSpecificationError
from edgehost.domain.guest_contract import ENV_FUNCTIONS, ENV_MODULE, USER_MODULE
from edgehost.domain.wasm_outline import FunctionType, MemoryType, read_outline
from edgehost.usecases.build_component import build_component
from tests.domain.wasm_samples import SPIN, TRAP, memory, sample

SERVICE: dict[str, Any] = {
    "name": "hello",
    "version": "1.0.0",
    "kind": "service",
    "service": {"export": "run"},
    "probe": {"export": "run"},
    "limits": {"memory_kib": 256},
}


@asynccontextmanager
async def building() -> AsyncIterator[Any]:
    async with open_sandbox_factory() as sandboxes:

        async def build(wasm: bytes, **members: Any) -> bytes:
            return await build_component(SERVICE | members, wasm, toolchain=WasmTools(), sandboxes=sandboxes)

        yield build


async def test_a_component_is_its_module_bounded_with_its_specification() -> None:
    async with building() as build:
        component = await build(sample(memories=memory(1)))
        assert read_component(component) == read_component_spec(SERVICE)
        assert read_outline(component).memories == (MemoryType(1, 4),)
        assert await build(component) == component


async def test_a_document_that_is_wrong_is_refused_before_anything_is_run() -> None:
    async with building() as build:
        with pytest.raises(InvalidSpecificationError, match="limits"):
            await build(b"", limits={"memory_kib": 1})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "thing"},
        {"$ref": "https://example.org/schema.json"},
        {"properties": {"a": {"pattern": "(a+)+$"}}},
    ],
)
async def test_a_schema_that_hosts_cannot_use_is_refused(schema: dict[str, Any]) -> None:
    document = {"kind": "model", "model": {"schema": schema}, "service": {}}
    async with building() as build:
        with pytest.raises(InvalidSpecificationError):
            await build(sample(), **document)


@pytest.mark.parametrize(
    ("wasm", "members", "what"),
    [
        (sample(("rnu",)), {}, "Did you mean 'rnu'"),
        (sample(imports=[("extism:host/user", "save")]), {}, "Add 'save' to grants.functions"),
        (sample(imports=[("extism:host/user", "svae")]), {}, "Did you mean 'save'"),
        (sample(imports=[("extism:host/env", "alloc")], import_type=0), {}, r"it is \(i64\) -> i64"),
        (sample(imports=[("extism:host/env", "aloc")]), {}, "Did you mean 'alloc'"),
        (sample(imports=[("env", "abort")]), {}, "--use abort="),
        (sample(imports=[("node", "fs")]), {}, "no host offers that"),
        (sample(memories=memory(9)), {}, "memory_kib = 576"),
        (
            sample().replace(b"\x60\x00\x01\x7f", b"\x60\x00\x01\x7e").replace(b"\x41\x00", b"\x42\x00"),
            {},
            "i64",
        ),
    ],
)
async def test_a_module_that_is_not_what_its_specification_says_is_refused(
    wasm: bytes, members: dict[str, Any], what: str
) -> None:
    async with building() as build:
        with pytest.raises(InvalidComponentError, match=what):
            await build(wasm, **members)


async def test_a_granted_import_is_accepted() -> None:
    async with building() as build:
        component = await build(
            sample(imports=[("extism:host/user", "now")]), grants={"functions": ["now"]}, probe={}
        )
        assert read_component(component).grants.functions == ("now",)


async def test_a_component_whose_probe_traps_is_refused() -> None:
    async with building() as build:
        with pytest.raises(InvalidComponentError, match="fails its own trial"):
            await build(sample(body=TRAP))


async def test_a_component_whose_probe_never_ends_is_refused() -> None:
    async with building() as build:
        with pytest.raises(InvalidComponentError, match="fails its own trial"):
            await build(sample(body=SPIN), probe={"export": "run", "deadline_ms": 100})


async def test_a_plain_component_may_take_and_give_numbers() -> None:
    async with building() as build:
        component = await build(sample(export_type=2), abi="plain", probe={"export": "run", "input": "[1]"})
        assert read_component(component).abi == "plain"


async def test_every_function_that_the_build_allows_is_there_in_the_sandbox(tmp_path: Path) -> None:
    imports = [(ENV_MODULE, name, found) for name, found in ENV_FUNCTIONS.items()]
    imports += [(USER_MODULE, name, FunctionType(("i64",), ("i64",))) for name in HOST_FUNCTIONS]
    text = "".join(
        f'(import "{module}" "{name}" (func (param {" ".join(found.params)}) (result {" ".join(found.results)})))'
        for module, name, found in imports
    )
    given, wasm = tmp_path / "given.wat", tmp_path / "given.wasm"
    given.write_text(f'(module {text} (func (export "run") (result i32) (i32.const 0)))')
    await WasmTools()._run("parse", "-o", str(wasm), str(given))
    async with building() as build:
        component = await build(wasm.read_bytes(), grants={"functions": list(HOST_FUNCTIONS)})
    assert len(read_outline(component).imports) == len(imports)
