from __future__ import annotations

import copy
import tomllib
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.component_spec import (
    HOST_FUNCTIONS,
    Abi,
    AdapterSpec,
    ComponentSpec,
    Grants,
    Kind,
    Limits,
    ProbeSpec,
    ServiceSpec,
    read_component_spec,
)
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.model_spec import (
    PERMISSIONS,
    AccessRule,
    CommandSpec,
    HandlerSpec,
    ModelSpec,
    RouteSpec,
    SerializerSpec,
    SourceSpec,
)
from edgehost.domain.port_spec import BreakerRule, PortSpec
from edgehost.domain.property_spec import NAMED_PATTERNS, PropertySpec
from edgehost.domain.relation_spec import RelationSpec, RelationType
from edgehost.domain.spec_document import decode_spec, encode_document, spec_document
from tests.domain.spec_strategies import DOCUMENTS, JSON

MINIMAL: dict[str, Any] = {
    "name": "hello",
    "version": "1.0.0",
    "kind": "service",
    "service": {"export": "run"},
}


def refusal(document: dict[str, Any]) -> InvalidSpecificationError:
    with pytest.raises(InvalidSpecificationError) as caught:
        read_component_spec(document)
    return caught.value


def changed(**members: Any) -> dict[str, Any]:
    return copy.deepcopy(MINIMAL) | members


@given(DOCUMENTS)
def test_a_specification_reads_back_from_its_document(document: dict[str, Any]) -> None:
    spec = read_component_spec(document)
    assert read_component_spec(spec_document(spec)) == spec


@given(DOCUMENTS)
def test_a_specification_reads_back_from_its_bytes(document: dict[str, Any]) -> None:
    spec = read_component_spec(document)
    assert decode_spec(encode_document(spec_document(spec))) == spec


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_the_bytes(document: dict[str, Any], random: Any) -> None:
    names = list(document)
    random.shuffle(names)
    assert encode_document({name: document[name] for name in names}) == encode_document(document)


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(MINIMAL)), JSON, max_size=6))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    with suppress(InvalidSpecificationError):
        read_component_spec(document)


@given(DOCUMENTS, JSON, st.data())
def test_a_document_with_one_wrong_value_is_read_or_refused(
    document: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    document = copy.deepcopy(document)
    table = document
    while True:
        key = data.draw(st.sampled_from(sorted(table)))
        if not isinstance(table[key], dict) or not table[key] or data.draw(st.booleans()):
            break
        table = table[key]
    table[key] = value
    with suppress(InvalidSpecificationError):
        read_component_spec(document)


def test_defaults_are_left_out_of_the_document() -> None:
    assert spec_document(read_component_spec(MINIMAL)) == MINIMAL


def test_every_export_that_is_named_is_listed_once() -> None:
    spec = read_component_spec(
        {
            "name": "m",
            "version": "1.0.0",
            "kind": "model",
            "model": {
                "validate": "check",
                "on_delete": "veto",
                "commands": {"go": {}, "stop": {"export": "halt"}},
            },
            "probe": {"export": "check"},
        }
    )
    assert spec.exports_used() == ("check", "veto", "go", "halt")
    assert (spec.kind, spec.abi) == (Kind.MODEL, Abi.EXTISM)


def test_an_unknown_key_is_named_with_the_closest_known_one() -> None:
    error = refusal(changed(limits={"deadlin_ms": 5}))
    assert "limits.deadlin_ms" in error.message
    assert "deadline_ms" in error.hint


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"name": "Hello"}, "name"),
        ({"name": 3}, "name"),
        ({"version": "1.0"}, "version"),
        ({"kind": "modle"}, "kind"),
        ({"service": []}, "service"),
        ({"service": {"export": "run", "every_s": 0.01}}, "service.every_s"),
        ({"service": {"every_s": 1}}, "service.export"),
        ({"service": {"export": "run", "every_s": True}}, "service.every_s"),
        ({"limits": {"memory_kib": 63}}, "limits.memory_kib"),
        ({"limits": {"stack_kib": 1024}}, "limits.stack_kib"),
        ({"limits": {"instances_min": 3, "instances_max": 2}}, "limits.instances_max"),
        ({"grants": {"functions": ["sav"]}}, "grants.functions"),
        ({"grants": {"http_hosts": ["http://x"]}}, "grants.http_hosts"),
        ({"device_classes": ["any", 1]}, "device_classes"),
        ({"config": {"key": 1}}, "config.key"),
        ({"probe": {"input": "x" * 65_537}}, "probe.input"),
        ({"model": {}}, "[model]"),
        ({"kind": "model", "abi": "plain", "model": {}}, "plain"),
    ],
)
def test_a_fault_is_refused_with_its_place(members: dict[str, Any], path: str) -> None:
    assert path in refusal(changed(**members)).message


@pytest.mark.parametrize("missing", sorted(MINIMAL))
def test_a_missing_key_is_named(missing: str) -> None:
    document = copy.deepcopy(MINIMAL)
    del document[missing]
    assert missing in str(refusal(document))


REFERENCE = (Path(__file__).parents[2] / "examples/component.toml").read_text()


def keys_of(noun: type[Any]) -> set[str]:
    return {found.name for found in fields(noun)}


def test_the_reference_gives_every_default() -> None:
    document = tomllib.loads(REFERENCE)
    assert document.pop("wasm")
    assert read_component_spec(document) == read_component_spec(
        {
            "name": "example",
            "version": "1.0.0",
            "kind": "model",
            "model": {
                "commands": {"reset": {}},
                "ports": {
                    "arrived": {"direction": "inbound"},
                    "ship": {"direction": "outbound", "breaker": {"default": {}}},
                },
                "relations": {"parts": {"model": "part", "type": "one_to_many", "foreign_key": "owner"}},
                "properties": {"serial": {}},
                "handlers": [{"on": "record.*", "export": "heard"}],
                "routes": [{"path": "example/summary", "export": "summary"}],
                "access": {"read": {}},
                "serializers": [{"on": "network", "key": "notes", "action": "omit"}],
            },
            "service": {},
        }
    )


def test_the_reference_names_every_key() -> None:
    document = tomllib.loads(REFERENCE.replace("# [adapter]", "[adapter]"))
    del document["wasm"]
    assert set(document) == keys_of(ComponentSpec)
    for key, noun in {"service": ServiceSpec, "probe": ProbeSpec, "limits": Limits, "grants": Grants}.items():
        assert set(document[key]) == keys_of(noun)
    for key in keys_of(AdapterSpec):
        assert f"# {key} = " in REFERENCE
    model = document["model"]
    assert set(model) == keys_of(ModelSpec)
    assert set(model["commands"]["reset"]) == keys_of(CommandSpec)
    ports = model["ports"]
    assert {*ports["arrived"], *ports["ship"]} == keys_of(PortSpec)
    assert set(ports["ship"]["breaker"]["default"]) == keys_of(BreakerRule)
    assert set(model["relations"]["parts"]) == keys_of(RelationSpec)
    assert set(model["properties"]["serial"]) == keys_of(PropertySpec)
    assert set(model["source"]) == keys_of(SourceSpec)
    assert set(model["access"]["read"]) == keys_of(AccessRule)
    for key, noun in {"handlers": HandlerSpec, "routes": RouteSpec, "serializers": SerializerSpec}.items():
        assert set(model[key][0]) == keys_of(noun)
    for word in (*HOST_FUNCTIONS, *PERMISSIONS, *NAMED_PATTERNS, *RelationType, *Abi, *Kind):
        assert word in REFERENCE
