"""The schema for editors, the findings and the reader agree on what a specification may be."""

from __future__ import annotations

import copy
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.spec_document import spec_document
from edgehost.domain.spec_findings import find_faults
from edgehost.domain.spec_schema import component_schema, document_schema
from tests.domain.spec_strategies import DOCUMENTS, JSON

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = [*sorted(EXAMPLES.glob("*/component.toml")), EXAMPLES / "component.toml"]
FILE_SCHEMA = jsonschema.Draft202012Validator(component_schema())
DOCUMENT_SCHEMA = jsonschema.Draft202012Validator(document_schema())
REFERENCE = tomllib.loads((EXAMPLES / "component.toml").read_text())
del REFERENCE["wasm"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_example_fits_the_schema(file: Path) -> None:
    FILE_SCHEMA.validate(tomllib.loads(file.read_text()))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(component_schema())


@given(DOCUMENTS)
def test_what_the_reader_takes_fits_the_schema_and_has_no_faults(document: dict[str, Any]) -> None:
    spec = read_component_spec(document)
    DOCUMENT_SCHEMA.validate(document)
    DOCUMENT_SCHEMA.validate(spec_document(spec))
    assert find_faults(document) == (spec, ())


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [place for key, item in value.items() for place in places(item, (*path, key))]
    elif isinstance(value, list):
        found += [place for index, item in enumerate(value) for place in places(item, (*path, index))]
    return found


MUTATIONS = (
    JSON
    | st.sampled_from(
        ["", "a", "*", "inbound", "x.y", "UPPER", [], {}, True, 0, 1, -1, 10**9, ["read"], [{}]]
    )
    | st.sampled_from([{"field": "a", "values": [1]}, [{"on": "a", "export": "b"}], {"allow": ["role:x"]}])
)


def by_schema(document: dict[str, Any]) -> bool:
    return not any(True for _ in DOCUMENT_SCHEMA.iter_errors(document))


def tells_alike(value: Any) -> bool:
    """TOML has whole numbers, and no text of a name ends in a line break that an expression may overlook."""
    if isinstance(value, dict):
        return all(tells_alike(each) for each in (*value, *value.values()))
    if isinstance(value, list):
        return all(map(tells_alike, value))
    return not (isinstance(value, float) and value.is_integer()) and not (
        isinstance(value, str) and value.endswith("\n")
    )


@given(st.data(), MUTATIONS, st.sampled_from(["replace", "remove", "add"]))
def test_the_schema_and_the_reader_judge_a_changed_specification_alike(
    data: st.DataObject, value: Any, how: str
) -> None:
    document = copy.deepcopy(REFERENCE)
    *above, last = data.draw(st.sampled_from(places(document)))
    table = document
    for step in above:
        table = table[step]
    if how == "remove":
        del table[last]
    elif how == "add" and isinstance(table, dict):
        table[data.draw(st.sampled_from(["extra", "Extra!", "exprot", last]))] = value
    else:
        table[last] = value
    if not tells_alike(value):
        return
    _, faults = find_faults(document)
    assert by_schema(document) is not any(fault.structural for fault in faults)
    accepted = False
    with suppress(InvalidSpecificationError):
        read_component_spec(document)
        accepted = True
    assert accepted is (not faults)


def test_all_faults_are_found_at_once_with_what_to_do() -> None:
    _, faults = find_faults(
        {
            "name": "Pump",
            "version": "1.0",
            "kind": "modle",
            "model": {
                "properties": {
                    "mail": {"pattern": "emial"},
                    "password": {"hashed": True, "unique": True},
                },
                "ports": {"ship": {"direction": "outbuond"}},
                "serializers": [{"on": "storage", "key": "a", "action": "mask"}],
                "comands": {},
            },
            "limits": {"queue": "many"},
            "grants": {"functions": ["sav"]},
        }
    )
    hints = {fault.path: fault.hint for fault in faults}
    assert set(hints) == {
        "name",
        "version",
        "kind",
        "model.properties.mail.pattern",
        "model.properties.password.unique",
        "model.ports.ship.direction",
        "model.serializers[0].action",
        "model.comands",
        "limits.queue",
        "grants.functions",
    }
    assert hints["kind"] == "Did you mean 'model'?"
    assert hints["model.properties.mail.pattern"] == "Did you mean 'email'?"
    assert hints["model.comands"] == "Did you mean 'commands'?"
    assert hints["model.ports.ship.direction"] == "Did you mean 'outbound'?"


def test_a_document_of_nothing_but_faults_is_listed_as_far_as_anybody_reads() -> None:
    _, faults = find_faults({f"key-{number}": 1 for number in range(1000)})
    assert len(faults) == 100
