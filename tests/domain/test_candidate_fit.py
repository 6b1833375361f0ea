from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.candidate_fit import require_candidate, schema_difference
from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.errors import IncompatibleReleaseError

OPEN: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = OPEN | {"additionalProperties": False}


def spec(version: str, model: dict[str, Any] | None = None, **more: Any) -> ComponentSpec:
    document: dict[str, Any] = {"name": "orders", "version": version, "kind": "model"}
    return read_component_spec(document | {"model": {"validate": "check"} | (model or {})} | more)


def refusal(main: ComponentSpec, candidate: ComponentSpec) -> str:
    with pytest.raises(IncompatibleReleaseError) as caught:
        require_candidate(main, candidate)
    assert "1.1.0 cannot run beside 1.0.0" in caught.value.message
    return caught.value.message


def test_the_same_specification_fits() -> None:
    require_candidate(spec("1.0.0"), spec("1.1.0"))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"migrate": "move"}, "it migrates records"),
        ({"endpoint": "sales"}, "model.endpoint differs"),
        ({"validate": ""}, "model.validate is '', not 'check'"),
        ({"on_update": "complete"}, "model.on_update is 'complete', not ''"),
        ({"schema": {"type": "object", "required": ["b"]}}, "its schema differs: '/required' differs"),
        ({"commands": {}}, "the command 'ship' is gone"),
        ({"commands": {"ship": {"export": "other"}}}, "the command 'ship' is gone or has another export"),
    ],
)
def test_whatever_could_not_stand_in_is_refused_with_the_reason(model: dict[str, Any], says: str) -> None:
    main = spec("1.0.0", {"commands": {"ship": {}}})
    assert says in refusal(main, spec("1.1.0", {"commands": {"ship": {}}} | model))


def test_more_commands_another_probe_and_other_limits_fit() -> None:
    richer = spec("1.1.0", {"commands": {"ship": {}}}, probe={"export": "ping"}, limits={"deadline_ms": 5})
    require_candidate(spec("1.0.0", probe={"export": "probe"}), richer)


def test_a_service_keeps_its_functions() -> None:
    def service(version: str, *functions: str) -> ComponentSpec:
        return read_component_spec(
            {"name": "feed", "version": version, "kind": "service", "service": {"functions": list(functions)}}
        )

    require_candidate(service("1.0.0", "read"), service("1.1.0", "read", "write"))
    assert "the export 'write'" in refusal(service("1.0.0", "read", "write"), service("1.1.0", "read"))
    assert "kind" in refusal(spec("1.0.0"), service("1.1.0"))


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (OPEN, OPEN | {"title": "Orders", "description": "more words"}, ""),
        (OPEN, OPEN | {"properties": OPEN["properties"] | {"b": {"type": "number"}}}, ""),
        (CLOSED, CLOSED | {"properties": OPEN["properties"] | {"b": {}}}, "'/properties/b' is new"),
        (OPEN, OPEN | {"properties": {}}, "'/properties/a' is gone"),
        (OPEN, OPEN | {"properties": {"a": {"type": ["string", "null"]}}}, "'/properties/a/type' differs"),
        (OPEN, OPEN | {"properties": {"a": {"type": "string", "maxLength": 3}}}, "'/properties/a/maxLength'"),
        (OPEN, OPEN | {"required": []}, "'/required' differs"),
        (OPEN, CLOSED, "'/additionalProperties' differs"),
        (OPEN, OPEN | {"patternProperties": {"^x": {}}}, "'/patternProperties/^x' is new"),
        (
            {"items": {"properties": {"a": {}}}},
            {"items": {"properties": {"a": {}, "b": {}}}},
            "",
        ),
        (
            {"$defs": {"x": {"type": "string"}}},
            {"$defs": {"x": {"type": "number"}}},
            "'/$defs/x/type' differs",
        ),
        ({"items": {"type": "string"}}, {}, "'/items' differs"),
    ],
)
def test_schemas_may_differ_by_words_and_by_optional_members_of_open_objects(
    before: dict[str, Any], after: dict[str, Any], differs: str
) -> None:
    found = schema_difference(before, after)
    assert found.startswith(differs) if differs else found == ""
