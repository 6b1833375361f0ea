"""A module of abi aegis is built from what its getters say, and refused where the convention has no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.aegis_contract import AEGIS_FUNCTIONS
from edgehost.domain.component_file import read_component
from edgehost.domain.errors import InvalidComponentError, InvalidSpecificationError
from edgehost.usecases.build_component import build_component
from edgehost.usecases.check_specification import check_specification
from tests.adapters.sandbox.aegis_guests import HEAP, array_at, script_module, string_at
from tests.adapters.sandbox.guests import wasm
from tests.journeys.guest_scenes import committed

COUNTER = committed("aegis-counter")
NAME = '(func (export "getModelName") (result i32) (i32.const 4096))'
THING = script_module(NAME, data=string_at(HEAP, "thing"))

Build = Callable[..., Any]


@asynccontextmanager
async def building() -> AsyncIterator[Build]:
    async with open_sandbox_factory() as sandboxes:

        async def build(module: str | bytes, **more: Any) -> Any:
            document = {"name": "x", "version": "1.0.0", "kind": "model", "abi": "aegis", **more}
            binary = wasm(module) if isinstance(module, str) else module
            return read_component(
                await build_component(document, binary, toolchain=WasmTools(), sandboxes=sandboxes)
            )

        yield build


async def test_a_nearly_empty_document_is_completed_by_the_module() -> None:
    async with building() as build:
        model = (await build(COUNTER)).model
        assert (model.name, model.endpoint, model.domain) == ("counter", "counters", "counting")
        assert (model.factory, model.on_delete) == ("modelFactory", "onDelete")
        assert model.ports["push"].export == "increment"
        assert model.ports["push"].consumes == "counter-pushed"
        assert model.ports["announce"].undo == "unannounce"


async def test_what_the_author_writes_goes_before_what_the_module_says() -> None:
    async with building() as build:
        own = {
            "endpoint": "mine",
            "ports": {"push": {"timeout_ms": 50}},
            "commands": {"describe": {"acl": ["read"]}},
        }
        model = (await build(COUNTER, model=own)).model
        assert (model.name, model.endpoint) == ("counter", "mine")
        assert (model.ports["push"].timeout_ms, model.ports["push"].export) == (50, "increment")
        assert model.commands["describe"].acl == ("read",)


async def test_a_module_with_one_getter_is_a_model_of_that_name() -> None:
    async with building() as build:
        assert (await build(THING)).model.name == "thing"


async def test_a_service_and_an_adapter_may_use_the_convention() -> None:
    async with building() as build:
        service = await build(THING, kind="service", service={"export": "echo"})
        assert service.service.export == "echo"
        assert (await build(THING, kind="adapter", adapter={"export": "echo"})).adapter.export == "echo"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": {"validate": "getModelName"}}, "model.validate: is 'getModelName'"),
        ({"model": {"migrate": "echo"}}, "model.migrate"),
        ({"model": {"properties": {"a": {"computed": "echo"}}}}, "model.properties.a"),
        ({"model": {"routes": [{"path": "x", "export": "echo"}]}}, "model.routes"),
        ({"grants": {"functions": ["now"]}}, "grants and config"),
        ({"config": {"a": "b"}}, "grants and config"),
        ({"model": {"nmae": "x"}}, "nmae"),
        ({"model": 5}, "model"),
    ],
)
async def test_a_key_that_would_do_nothing_is_refused(more: dict[str, Any], message: str) -> None:
    async with building() as build:
        with pytest.raises(InvalidSpecificationError, match=message):
            await build(THING, **more)


@pytest.mark.parametrize(
    ("module", "more", "message"),
    [
        ('(module (memory (export "memory") 1))', {}, "no export __new"),
        (THING, {"model": {"commands": {"go": {"export": "gone"}}}}, "which the module does not have"),
        (THING, {"model": {"commands": {"go": {"export": "pins"}}}}, "abi 'aegis' needs"),
        (
            script_module('(func (export "getModelName") (result i32) unreachable)'),
            {},
            "cannot say what model",
        ),
        (
            script_module('(func (export "getPorts") (result i32) (i32.const 70000))'),
            {},
            "cannot say what model",
        ),
        (script_module(NAME, data=array_at(HEAP, 5, ())), {}, "gives no name"),
        (
            script_module('(func (export "getModelName") (result i32) (loop $x (br $x)) (i32.const 0))'),
            {},
            "cannot say what model",
        ),
        (script_module(imports='(import "env" "fetch" (func))'), {}, "env.fetch"),
        (script_module(imports='(import "env" "seed" (func))'), {}, "env.seed"),
    ],
)
async def test_a_module_that_does_not_hold_the_convention_is_refused(
    module: str, more: dict[str, Any], message: str
) -> None:
    async with building() as build:
        with pytest.raises(InvalidComponentError, match=message):
            await build(module, **more)


async def test_every_import_that_the_build_allows_is_there_in_the_sandbox() -> None:
    imports = "".join(
        f'(import "env" "{name}" (func (param {" ".join(found.params)}) (result {" ".join(found.results)})))'
        for name, found in AEGIS_FUNCTIONS.items()
    )
    async with building() as build:
        assert (
            await build(script_module(NAME, imports=imports, data=string_at(HEAP, "all")))
        ).model.name == "all"


def test_the_check_leaves_to_the_module_what_its_getters_tell() -> None:
    document: dict[str, Any] = {"name": "x", "version": "1.0.0", "kind": "model", "abi": "aegis"}
    assert check_specification(document)[1] == ()
    assert check_specification({**document, "model": {"ports": {"push": {"timeout_ms": 5}}}})[1] == ()
    for wrong, path in (
        ({"direction": "sideways"}, "model.ports.push.direction"),
        ({"timeout_sm": 5}, "model.ports.push.timeout_sm"),
    ):
        found = check_specification({**document, "model": {"ports": {"push": wrong}}})[1]
        assert [fault.path for fault in found] == [path]
