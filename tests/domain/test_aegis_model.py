"""What getters say, as a specification."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.aegis_model import derived_model, host_name
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidComponentError

SAID: dict[str, Any] = {
    "getModelName": "Wasm",
    "getEndpoint": "wasmThings",
    "getDomain": "Wasm",
    "getPorts": {
        "runFibonacci": "fibonacciService,inbound,fibonacciBegin,fibonacciEnd,runFibonacci",
        "emitEvent": "test,outbound,fireEvent,eventFired,emitEvent,takeBack",
        "shipOrder": "dFlow, outbound ,,,,undoShip",
        "lost": "s,inbound",
    },
    "getCommands": {"runFibonacci": "fibonacci port", "deployModule": "not there"},
}
FUNCTIONS = {"runFibonacci", "emitEvent", "undoShip", "modelFactory", "onDelete"}


def model_of(said: dict[str, Any], given: dict[str, Any] | None = None) -> dict[str, Any]:
    return derived_model(said, given or {}, FUNCTIONS).table


def test_names_become_those_of_the_host() -> None:
    names = ["runFibonacci", "HTTPServer2Start", "dFlow_start", "a.b c", "already-so", "_x_"]
    assert [host_name(name) for name in names] == [
        "run-fibonacci",
        "http-server2-start",
        "d-flow-start",
        "a-b-c",
        "already-so",
        "x",
    ]


def test_the_getters_make_a_model_that_the_reader_takes() -> None:
    derived = derived_model(SAID, {}, FUNCTIONS)
    document = {"name": "x", "version": "1.0.0", "kind": "model", "abi": "aegis", "model": derived.table}
    model = read_component_spec(document).model
    assert model is not None
    assert (model.name, model.endpoint, model.domain) == ("wasm", "wasm-things", "")
    assert (model.factory, model.validate, model.on_update, model.on_delete) == (
        "modelFactory",
        "",
        "",
        "onDelete",
    )
    assert {name: each.export for name, each in model.commands.items()} == {"run-fibonacci": "runFibonacci"}
    inbound, outbound = model.ports["run-fibonacci"], model.ports["emit-event"]
    assert (inbound.direction, inbound.export, inbound.consumes, inbound.produces, inbound.callback) == (
        "inbound",
        "runFibonacci",
        "fibonacci-begin",
        "fibonacci-end",
        "",
    )
    assert (outbound.service, outbound.callback, outbound.undo) == ("test", "emitEvent", "")
    assert model.ports["ship-order"].service == "d-flow"
    assert model.ports["ship-order"].undo == "undoShip"
    assert sorted(derived.notes) == [
        "the command 'deployModule' is not exported: left out",
        "the inbound port 'lost' has no export: left out",
        "the undo 'takeBack' of 'emit-event' is neither exported nor a port: left out",
    ]


def test_an_undo_may_be_another_port() -> None:
    said = {"getPorts": {"pickUp": "s,outbound,,,,putDown", "putDown": "s,outbound"}}
    assert model_of(said)["ports"]["pick-up"]["undo"] == "put-down"


def test_what_component_toml_says_goes_first_key_by_key() -> None:
    given = {
        "endpoint": "mine",
        "schema": {"type": "object"},
        "ports": {"run-fibonacci": {"timeout_ms": 5}, "own": {"direction": "outbound"}},
        "commands": {"run-fibonacci": {"acl": ["read"]}},
    }
    table = model_of(SAID, given)
    assert table["endpoint"] == "mine"
    assert table["schema"] == {"type": "object"}
    assert table["ports"]["run-fibonacci"]["timeout_ms"] == 5
    assert table["ports"]["run-fibonacci"]["export"] == "runFibonacci"
    assert table["ports"]["own"] == {"direction": "outbound"}
    assert table["commands"]["run-fibonacci"]["acl"] == ["read"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"getModelName": ""}, "gives no name"),
        ({"getModelName": {"a": "b"}}, "gives no name"),
        ({"getModelName": "42"}, "gives no name"),
        ({"getModelName": "x" * 64}, "gives no name"),
        ({"getEndpoint": None}, "gives no name"),
        ({"getPorts": "x"}, "answered no pairs"),
        ({"getPorts": ["a", "b"]}, "answered no pairs"),
        ({"getPorts": {"p": "s"}}, "is described by 's'"),
        ({"getPorts": {"p": None}}, "is described by 'None'"),
        ({"getPorts": {"p": "s,sideways"}}, "is described by"),
        ({"getPorts": {"p": "s,outbound,a,b,c,d,e,f"}}, "is described by"),
        ({"getPorts": {"p": "s,outbound,\u00e4"}}, "The event"),
        ({"getPorts": {"": "s,outbound"}}, "gives no name"),
        ({"getCommands": {"runIt": "", "run-it": ""}}, "become one"),
        ({"getCommands": []}, "answered no pairs"),
    ],
)
def test_answers_that_are_none_of_the_convention_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidComponentError, match=message):
        derived_model(said, {}, {"runIt", "run-it"})


def test_a_name_that_component_toml_gives_need_not_be_the_modules() -> None:
    assert model_of({"getModelName": "\u00e4"}, {"name": "fine"})["name"] == "fine"


@pytest.mark.parametrize("given", [{"ports": 5}, {"commands": [1]}, {"ports": {"p": 1}}, {"name": 7}])
def test_a_table_that_is_wrong_is_left_for_the_reader_to_refuse(given: dict[str, Any]) -> None:
    assert model_of(SAID, given)[next(iter(given))] is not None
