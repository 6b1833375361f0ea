"""JSON to pairs and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.aegis_convention import (
    FACTORY,
    ON_DELETE,
    ON_UPDATE,
    VALIDATE,
    Answer,
    as_answer,
    as_question,
    member_types,
    text_of,
)

RECORD = {"model": "counter", "id": "r1", "data": {"name": "a", "count": 1, "tags": ["x"]}, "revision": "9"}
TYPES = {"count": "integer", "share": "number", "open": "boolean"}


def asked(document: dict[str, Any], function: str = "f") -> dict[str, str]:
    return dict(as_question(function, document).pairs)


def answered(document: dict[str, Any], *pairs: tuple[str, str | None], function: str = "f") -> Answer:
    return as_answer(as_question(function, document), pairs, TYPES)


def test_only_strings_numbers_and_booleans_are_sent() -> None:
    document = {"s": "a", "n": 1, "f": 1.5, "t": True, "o": {}, "l": [1], "z": None, "e": ""}
    assert asked(document) == {"s": "a", "n": "1", "f": "1.5", "t": "true", "e": "_"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (123456.789, "123456.789"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (5e-324, "5e-324"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (2**64, "18446744073709551616"),
    ],
)
def test_numbers_are_written_as_javascript_writes_them(number: float, text: str) -> None:
    assert text_of(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_is_the_number(value: float) -> None:
    assert float(text_of(value)) == value


@given(st.dictionaries(st.text(), st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False)))
def test_pairs_that_come_back_as_they_were_sent_are_what_they_were(document: dict[str, Any]) -> None:
    question = as_question("f", {"args": document, "port": "p"})
    mine = tuple(pair for pair in question.pairs if pair[0] != "port")
    given_back = as_answer(question, mine, {}).document["result"]
    assert given_back == {key: value for key, value in document.items() if key != "port"}


def test_numbers_and_booleans_are_what_the_schema_says() -> None:
    pairs = (("count", "55.0"), ("share", "0.5"), ("open", "true"), ("name", "7"))
    assert answered({}, *pairs).document == {"count": 55, "share": 0.5, "open": True, "name": "7"}
    assert answered({}, ("share", "2")).document == {"share": 2}


@pytest.mark.parametrize(
    "text", ["12abc", "", "1_000", "NaN", "Infinity", "1e999", " 1", "0x10", "1.5", "9" * 500]
)
def test_a_text_that_is_no_whole_number_stays_a_text_for_the_schema_to_refuse(text: str) -> None:
    assert answered({}, ("count", text)).document == {"count": text}


@pytest.mark.parametrize("text", ["True", "1", "yes", ""])
def test_a_text_that_is_no_boolean_stays_a_text(text: str) -> None:
    assert answered({}, ("open", text)).document == {"open": text}


def test_a_number_that_came_back_with_a_point_is_the_number_that_was_sent() -> None:
    assert answered({"x": 15, "y": True}, ("x", "15.0"), ("y", "1")).document == {"x": 15, "y": "1"}
    assert answered({"x": 15}, ("x", "15.5")).document == {"x": "15.5"}


def test_a_value_left_out_is_null_and_the_last_of_two_pairs_holds() -> None:
    assert answered({}, ("a", None), ("b", "1"), ("b", "2")).document == {"a": None, "b": "2"}


def test_a_factory_makes_the_whole_data() -> None:
    document = {"event": "create", "id": "r1", "data": {"name": "a", "tags": []}}
    assert asked(document, FACTORY) == {"name": "a"}
    assert answered(document, ("name", "a"), ("count", "0"), function=FACTORY).document == {
        "data": {"name": "a", "count": 0}
    }


UPDATE = {"event": "update", "id": "r1", "data": RECORD["data"], "previous": {}, "changes": {}}


def test_an_update_is_the_data_with_what_the_guest_sets_on_top() -> None:
    assert asked(UPDATE, ON_UPDATE) == {"name": "a", "count": "1", "modelId": "r1"}
    changed = answered(UPDATE, ("count", "2"), ("modelId", "r1"), function=ON_UPDATE)
    assert changed.document == {"data": {"name": "a", "count": 2, "tags": ["x"]}}
    assert answered(UPDATE, ("status", "ok"), function=ON_UPDATE).document == {}


@pytest.mark.parametrize("function", [VALIDATE, ON_DELETE])
def test_a_verdict_passes_or_refuses_with_its_message(function: str) -> None:
    assert answered(UPDATE, function=function) == Answer({})
    assert answered(UPDATE, ("status", "OK"), function=function) == Answer({})
    assert answered(UPDATE, ("status", "no"), function=function).refusal == "no"
    refused = answered(UPDATE, ("status", "no"), ("message", "too old"), function=function)
    assert refused.refusal == "too old"


def test_a_status_of_the_records_own_is_no_verdict_when_it_comes_back() -> None:
    document = {"event": "update", "id": "r1", "data": {"status": "shipped"}}
    assert answered(document, ("status", "shipped"), function=VALIDATE).refusal == ""
    assert answered(document, ("status", "lost"), function=VALIDATE).refusal == "lost"


def test_a_command_gets_the_record_and_its_arguments_and_may_change_the_record() -> None:
    document = {"id": "r1", "record": RECORD, "args": {"by": 2, "name": "b"}}
    assert asked(document) == {
        "name": "b",
        "count": "1",
        "by": "2",
        "modelId": "r1",
        "modelName": "counter",
    }
    said = answered(document, ("count", "3"), ("total", "9"), ("modelId", "r1")).document
    assert said == {
        "result": {"count": 3, "total": "9"},
        "data": {"name": "a", "count": 3, "tags": ["x"]},
    }
    assert answered(document, ("total", "9")).document == {"result": {"total": "9"}}


def test_arguments_that_are_no_object_are_one_pair() -> None:
    assert asked({"id": "r1", "record": RECORD, "args": 5})["args"] == "5"
    assert "args" not in asked({"id": "r1", "record": RECORD, "args": [5]})
    assert "args" not in asked({"id": "r1", "record": RECORD, "args": None})


@pytest.mark.parametrize("said", ["done", ["a", None], []])
def test_a_string_or_a_list_stands_for_itself(said: Any) -> None:
    assert as_answer(as_question("f", {}), said, TYPES).document == said
    command = as_question("f", {"id": "r1", "record": RECORD, "args": None})
    assert as_answer(command, said, TYPES).document == {"result": said}
    assert as_answer(command, None, TYPES).document is None


def test_a_port_without_a_record_gets_its_arguments_and_answers_a_result() -> None:
    document = {"port": "push", "args": {"by": 2}, "answer": {"seen": True}}
    assert asked(document) == {"seen": "true", "by": "2", "port": "push"}
    assert answered(document, ("count", "3")).document == {"result": {"count": 3}}


def test_an_adapter_answers_the_port_itself() -> None:
    document = {"port": "ship", "model": "order", "args": {"to": "x"}, "record": RECORD}
    assert asked(document)["modelName"] == "counter"
    assert answered(document, ("done", "yes")).document == {"done": "yes"}


def test_a_handler_gets_the_event_and_its_data() -> None:
    document = {"event": {"name": "a.b", "subject": "r1", "at": 1.5, "data": {"by": 2, "more": {}}}}
    assert asked(document) == {"name": "a.b", "subject": "r1", "at": "1.5", "by": "2"}


def test_the_types_are_those_of_the_schemas_own_members() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": ["number", "null"]},
            "c": {"type": ["number", "string"]},
            "d": {"type": "string"},
            "e": {"type": "boolean"},
            "f": {"enum": [1]},
            "g": True,
            "h": {"type": 5},
        }
    }
    assert member_types(schema) == {"a": "integer", "b": "number", "e": "boolean"}
    assert member_types({}) == member_types({"properties": []}) == {}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["event", "id", "data", "record", "args", "answer", "port", "model", "status", "x"])


@given(
    st.dictionaries(_KEYS, _JSON | st.sampled_from(["create", "update"]), max_size=6),
    st.sampled_from([FACTORY, VALIDATE, ON_UPDATE, ON_DELETE, "other"]),
    st.lists(st.tuples(_KEYS | st.text(max_size=3), st.none() | st.text(max_size=5)), max_size=5),
)
def test_no_question_and_no_answer_is_too_odd(
    document: dict[str, Any], function: str, pairs: list[tuple[str, str | None]]
) -> None:
    question = as_question(function, document)
    assert all(text != "" for _, text in question.pairs)
    answer = as_answer(question, tuple(pairs), TYPES)
    assert isinstance(answer.document, dict) or answer.refusal
