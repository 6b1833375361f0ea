"""Host functions on records: granted by name, checked like everybody's requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.component_spec import HOST_FUNCTIONS, ComponentSpec, Grants, read_component_spec
from edgehost.domain.errors import (
    CallDepthError,
    EdgehostError,
    InvalidQueryError,
    InvalidRecordError,
    NotFoundError,
    NotGrantedError,
    RefusedError,
    RevisionConflictError,
    TooLargeError,
)
from edgehost.domain.events import ComponentNotified
from edgehost.domain.model_spec import PERMISSIONS
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.host_functions import MAX_CALL_DEPTH, HostFunctions
from tests.api.scene import NOTES, TELEMETRY, Kept

ALL = Grants(functions=tuple(HOST_FUNCTIONS), models=("telemetry", "notes"), components=("notes", "sensors"))
OPEN = {permission: {"allow": ["asker"]} for permission in PERMISSIONS}
SENSORS = read_component_spec(
    {"name": "sensors", "version": "1.0.0", "kind": "service", "service": {"export": "tick"}}
)


class StillReadings:
    async def read(self) -> Mapping[str, float | None]:
        return {"load_1m": 0.5, "temperature_c": None}


class Asker:
    """A component with grants, asking."""

    def __init__(self, kept: Kept, grants: Grants = ALL, chain: tuple[str, ...] = ("asker",)) -> None:
        self._host_call = HostFunctions(kept.keeping, kept.models, StillReadings(), self._spec_of).granted(
            grants
        )
        self._chain = chain
        self._specs = {"sensors": SENSORS}
        for document in (NOTES, TELEMETRY):
            self._specs[document["name"]] = kept.serve(document, commands={"shout": {}}, access=OPEN)

    def _spec_of(self, component: str) -> ComponentSpec:
        if component not in self._specs:
            raise NotFoundError(f"No '{component}'.")
        return self._specs[component]

    async def ask(self, what: str, /, **request: Any) -> Any:
        answer = json.loads(await self.raw(what, json.dumps(request).encode()))
        assert list(answer) == ["ok"]
        return answer["ok"]

    async def raw(self, function: str, payload: bytes) -> bytes:
        return await self._host_call("asker", function, payload, CallContext(self._chain))


async def test_records_are_saved_read_found_and_deleted() -> None:
    asker = Asker(Kept())
    made = await asker.ask("save", model="telemetry", data={"sensor": "a", "celsius": 1.5})
    assert set(made) == {"model", "id", "data", "revision", "created_at", "updated_at"}
    assert await asker.ask("get", model="telemetry", id=made["id"]) == made
    await asker.ask("save", model="telemetry", id="b", data={"sensor": "b", "celsius": 3})
    found = await asker.ask("find", model="telemetry", filters={"celsius__ge": 2, "sensor": "b"})
    assert [record["id"] for record in found["records"]] == ["b"]
    page = await asker.ask("find", model="telemetry", limit=1, descending=True)
    assert [record["id"] for record in page["records"]] == ["b"]
    rest = await asker.ask("find", model="telemetry", limit=1, descending=True, cursor=page["next_cursor"])
    assert [record["id"] for record in rest["records"]] == [made["id"]]
    assert await asker.ask("delete", model="telemetry", id="b") == {"deleted": True}
    assert await asker.ask("delete", model="telemetry", id="b") == {"deleted": False}


async def test_a_save_replaces_and_a_revision_makes_it_conditional() -> None:
    asker = Asker(Kept())
    first = await asker.ask("save", model="notes", id="a", data={"x": 1}, revision="")
    second = await asker.ask("save", model="notes", id="a", data={"y": 1})
    assert second["data"] == {"y": 1}
    for revision in ("", first["revision"]):
        with pytest.raises(RevisionConflictError):
            await asker.ask("save", model="notes", id="a", data={}, revision=revision)
    with pytest.raises(RevisionConflictError):
        await asker.ask("save", model="notes", id="gone", data={}, revision=first["revision"])
    third = await asker.ask("save", model="notes", id="a", data={"z": 1}, revision=second["revision"])
    assert third["data"] == {"z": 1}
    with pytest.raises(RevisionConflictError):
        await asker.ask("delete", model="notes", id="a", revision=first["revision"])


@pytest.mark.parametrize("function", HOST_FUNCTIONS)
async def test_nothing_is_granted_by_default(function: str) -> None:
    asker = Asker(Kept(), Grants())
    with pytest.raises(NotGrantedError):
        await asker.raw(function, b"{}")


async def test_models_and_components_are_granted_by_name() -> None:
    asker = Asker(Kept(), Grants(functions=tuple(HOST_FUNCTIONS), models=("notes",)))
    await asker.ask("save", model="notes", data={})
    for function in ("save", "get", "find", "delete"):
        with pytest.raises(NotGrantedError, match="telemetry"):
            await asker.ask(function, model="telemetry", id="a", data={})
    with pytest.raises(NotGrantedError, match="notes"):
        await asker.ask("call", component="notes", function="shout")


async def test_schema_and_hooks_hold_for_guests_too() -> None:
    kept = Kept()
    asker = Asker(kept)
    with pytest.raises(InvalidRecordError):
        await asker.ask("save", model="telemetry", data={"sensor": 1})
    kept.serve(NOTES, validate="check", access=OPEN)

    async def check(question: Any, context: CallContext) -> Any:
        assert context.chain == ("asker",)
        return {"data": question["data"] | {"seen": True}}

    kept.guests.functions[("notes", "check")] = check
    assert (await asker.ask("save", model="notes", data={}))["data"] == {"seen": True}


async def test_a_command_and_an_export_of_another_component_are_called() -> None:
    kept = Kept()
    asker = Asker(kept)

    async def shout(question: Any, _context: CallContext) -> Any:
        return {"result": question["args"], "data": {"loud": True}}

    async def tick(question: Any, context: CallContext) -> Any:
        return {"got": question, "chain": context.chain}

    kept.guests.functions = {("notes", "shout"): shout, ("sensors", "tick"): tick}
    await asker.ask("save", model="notes", id="a", data={})
    answer = await asker.ask("call", component="notes", function="shout", input={"id": "a", "args": [1]})
    assert answer["result"] == [1]
    assert answer["record"]["data"] == {"loud": True}
    assert await asker.ask("call", component="sensors", function="tick", input=5) == {
        "got": 5,
        "chain": ["asker"],
    }
    with pytest.raises(NotFoundError):
        await asker.ask("call", component="sensors", function="secret")


async def test_circles_are_bounded() -> None:
    asker = Asker(Kept(), chain=("a",) * (MAX_CALL_DEPTH + 1))
    with pytest.raises(CallDepthError):
        await asker.ask("now")


async def test_a_notification_becomes_an_event() -> None:
    kept = Kept()
    async with kept.bus.subscription() as events:
        assert await Asker(kept).ask("notify", type="battery-low", data={"percent": 5}) == {}
        event = await anext(events)
    assert isinstance(event, ComponentNotified)
    assert (event.component, event.name, event.data) == ("asker", "battery-low", {"percent": 5})
    assert event.subject == "asker/battery-low"


async def test_readings_and_the_clock_are_told() -> None:
    asker = Asker(Kept())
    assert await asker.ask("readings") == {"load_1m": 0.5, "temperature_c": None}
    assert (await asker.ask("now"))["unix_s"] > 1_700_000_000


@pytest.mark.parametrize(
    ("function", "request_"),
    [
        ("save", {"model": "notes"}),
        ("save", {"model": "notes", "data": {}, "revison": ""}),
        ("save", {"model": "notes", "data": [1]}),
        ("get", {"model": "notes"}),
        ("find", {"model": "notes", "limit": 0}),
        ("find", {"model": "telemetry", "filters": {"nothing": 1}}),
        ("find", {"model": "telemetry", "filters": {"celsius": "warm"}}),
        ("notify", {"type": "Not A Name"}),
        ("now", {"zone": "UTC"}),
        ("call", {"component": "notes", "function": "shout", "input": {"args": 1}}),
    ],
)
async def test_a_request_with_a_mistake_is_refused(function: str, request_: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        await Asker(Kept()).ask(function, **request_)


async def test_requests_are_bounded_and_must_be_objects() -> None:
    asker = Asker(Kept())
    with pytest.raises(TooLargeError):
        await asker.raw("save", b'"' + b"x" * 2_000_000 + b'"')
    with pytest.raises(RefusedError):
        await asker.raw("save", b"[]")
    with pytest.raises(InvalidQueryError):
        await asker.ask("find", model="notes", filters={"x": [1]})


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(HOST_FUNCTIONS)),
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "id",
                "data",
                "revision",
                "filters",
                "limit",
                "cursor",
                "component",
                "function",
                "input",
            ]
        ),
        st.sampled_from(
            [
                "notes",
                "telemetry",
                "a",
                "",
                "shout",
                1,
                None,
                True,
                [],
                {},
                {"sensor": "a"},
                {"sensor__lt": 3},
            ]
        ),
    ),
)
async def test_any_request_is_answered_or_refused(function: str, request_: dict[str, Any]) -> None:
    with suppress(EdgehostError):
        await Asker(Kept()).ask(function, **request_)
