from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.deployment import Audience, ConfigChange, Deployment, Gates, OnFailure, Window
from edgehost.domain.deployment_order import in_order
from edgehost.domain.deployment_reader import (
    read_author_deployment,
    read_deployment,
    read_signed_deployment,
    signed_bytes,
)
from edgehost.domain.errors import InvalidSpecificationError, RefusedError

WHOLE = b"""
name = "site"
note = "All of it."
priority = 3
on_failure = "all-or-none"
deadline_s = 600

[hosts]
classes = ["gateway"]
[hosts.labels]
site = "north"

[components.pump]
version = "^1.2"
share = 0.1
reset = ["*"]
after = ["valve"]
[components.pump.merge]
rate = "5"
[components.pump.bindings]
"pump.turn" = "mill:motor"

[components.valve]
present = false

[rollout]
waves = [0.2, 1]
within = "site"
soak_s = 300
approve = [1]
defer_most_s = 3600
blind_after_s = 86400
all_hosts = true
[rollout.gates]
error_rate = 0.01
check = "healthy"
[rollout.keys]
gate = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
[[rollout.windows]]
days = ["sat", "sun"]
begin = "22:00"
end = "04:00"

[firmware]
valve-1 = "valve@^2"
"""


def read(**document: Any) -> Deployment:
    return read_deployment({"name": "site", **document}, sequence=1, digest="")


def test_everything_that_an_author_can_say_is_read() -> None:
    document = read_author_deployment(WHOLE)
    content = signed_bytes(document, 7)
    deployment = read_signed_deployment(content, name="site", sequence=7)
    assert (deployment.priority, deployment.on_failure, deployment.deadline_s) == (
        3,
        OnFailure.ALL_OR_NONE,
        600,
    )
    assert deployment.hosts == Audience(classes=("gateway",), labels={"site": "north"})
    pump, _ = deployment.components
    assert (pump.versions.text, pump.share, pump.after) == ("^1.2", 0.1, ("valve",))
    assert pump.config == ConfigChange(("*",), {"rate": "5"})
    assert pump.bindings == {"pump.turn": "mill:motor"}
    assert [each.present for each in deployment.components] == [True, False]
    assert deployment.rollout.waves == (0.2, 1.0)
    assert deployment.rollout.gates == Gates(error_rate=0.01, check="healthy")
    assert deployment.rollout.keys == {"gate": "00112233445566778899aabbccddeeff" * 2}
    assert deployment.rollout.windows == (Window(("sat", "sun"), "22:00", "04:00"),)
    assert deployment.firmware == {"valve-1": "valve@^2"}


def test_the_same_words_are_the_same_bytes() -> None:
    one = signed_bytes({"name": "site", "components": {"a": {}, "b": {}}}, 1)
    other = signed_bytes({"components": {"b": {}, "a": {}}, "name": "site"}, 1)
    assert one == other == b'{"components":{"a":{},"b":{}},"name":"site","sequence":1}'


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"name": "Site"}, "name"),
        ({"colour": "red"}, "colour is unknown"),
        ({"rollout": {"keys": {"gate": "00"}}}, "rollout.keys.gate"),
        ({"rollout": {"keys": {"Gate!": "0" * 64}}}, "is no name of a host"),
        ({"hosts": {"ids": []}}, "hosts.ids is empty, so it is for no host."),
        ({"hosts": {"labels": {}}}, "hosts.labels is empty"),
        ({"components": {"pump": {"version": "newest"}}}, "components.pump.version cannot be used"),
        ({"components": {"pump": {"present": False, "version": "^1"}}}, "present is false"),
        ({"components": {"pump": {"after": ["valve"]}}}, "'valve', which is no component"),
        ({"components": {"pump": {"after": ["pump"]}}}, "circle: pump after pump"),
        ({"components": {"pump": {"bindings": {"pump": "A B"}}}}, "bindings cannot be used"),
        ({"components": {"pump": {"share": 2}}}, "share is 2"),
        ({"components": {"pump": {"share": float("nan")}}}, "share is nan"),
        ({"components": {"pump": {"merge": {"rate": 5}}}}, "merge.rate must be a string"),
        ({"on_failure": "panic"}, "on_failure is 'panic'"),
        ({"rollout": {"waves": []}}, "rollout.waves"),
        ({"rollout": {"waves": [0.5]}}, "the last one 1"),
        ({"rollout": {"waves": [0.5, 0.5, 1]}}, "must rise"),
        ({"rollout": {"waves": [True]}}, "list of numbers"),
        ({"rollout": {"approve": [1]}}, "names wave 1"),
        ({"rollout": {"approve": [0.5]}}, "names wave 0.5"),
        ({"rollout": {"windows": [{}]}}, "says nothing"),
        ({"rollout": {"windows": [{"begin": "10:00"}]}}, "both begin and end"),
        ({"rollout": {"windows": [{"begin": "10:00", "end": "10:00"}]}}, "never open"),
        ({"rollout": {"windows": [{"begin": "25:00", "end": "10:00"}]}}, "time of day"),
        ({"rollout": {"all_hosts": True}}, "all-or-none"),
        ({"firmware": {"valve-1": "valve"}}, "NAME@RANGE"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_path(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidSpecificationError, match="(?s)" + complaint.replace(".", r"\.")):
        read(**document)


def test_a_circle_is_named() -> None:
    with pytest.raises(InvalidSpecificationError, match="circle: a after b after c after a"):
        in_order({"a": ["b"], "b": ["c"], "c": ["a"]})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[]", "JSON object"),
        (b"{", "not JSON"),
        (signed_bytes({"name": "other"}, 1), "calls itself other 1"),
        (signed_bytes({"name": "site"}, 2), "calls itself site 2"),
        (b'{"name":"site"}', "calls itself site None"),
        (b'{"name":"site","sequence":1,"sequence":1}', "twice"),
    ],
)
def test_a_document_that_was_signed_as_another_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        read_signed_deployment(content, name="site", sequence=1)


def test_its_author_does_not_count() -> None:
    with pytest.raises(InvalidSpecificationError, match="counted by the repository"):
        read_author_deployment(b'name = "site"\nsequence = 3')


def test_reset_goes_before_merge_and_both_may_be_repeated() -> None:
    change = ConfigChange(("a", "b"), {"b": "2", "c": "3"})
    once = change.applied_to({"a": "1", "b": "1", "z": "1"})
    assert once == {"b": "2", "c": "3", "z": "1"}
    assert change.applied_to(once) == once


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ("hosts", "components", "rollout", "firmware", "on_failure", "priority", "deadline_s", "note")


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON))
def test_whatever_a_document_holds_it_is_read_or_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(RefusedError):
        read(**document)


@given(_JSON)
def test_whatever_a_component_holds_it_is_read_or_refused(value: object) -> None:
    for key in ("version", "present", "reset", "merge", "bindings", "share", "after"):
        with contextlib.suppress(RefusedError):
            read(components={"pump": {key: value}})
    with contextlib.suppress(RefusedError, ValueError):
        read_signed_deployment(
            json.dumps({"name": "site", "rollout": value}).encode(), name="site", sequence=1
        )
