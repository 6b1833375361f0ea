"""Thing Descriptions fit the W3C's own schema, and their forms lead somewhere."""

from __future__ import annotations

from typing import Any

import jsonschema
from sdf_wot_converter.validation.td_schema import td_schema

from edgehost.api.access import AccessPolicy
from tests.api.scene import NOTES, TELEMETRY, problem, served

PORTS: dict[str, Any] = {
    "arrived": {"direction": "inbound", "topic": "drones/{id}/arrived", "description": "It has landed"},
    "ship": {"direction": "outbound"},
}


def valid(thing: dict[str, Any]) -> dict[str, Any]:
    jsonschema.Draft7Validator(td_schema).validate(thing)
    return thing


async def test_every_model_is_a_thing_by_the_schema_of_td_1_1() -> None:
    async with served(TELEMETRY) as scene:
        scene.serve(NOTES, commands={"shout": {"description": "Make it loud"}}, ports=PORTS)
        response = await scene.client.get("/models/notes/td")
        assert response.headers["content-type"] == "application/td+json"
        thing = valid(response.json())
        assert thing["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
        assert thing["id"] == "urn:edgehost:here:notes"
        assert set(thing["actions"]) == {"create", "delete", "shout", "port-arrived"}
        assert set(thing["events"]) == {"created", "updated", "deleted"}
        readings = valid((await scene.client.get("/models/readings/td")).json())
        data = readings["actions"]["create"]["input"]
        assert data["properties"]["place"] == {"type": "object", "properties": {"room": {"type": "string"}}}
        assert data["properties"]["celsius"] == {"type": "number", "minimum": -90, "maximum": 150}


async def test_the_directory_lists_the_things_of_this_moment() -> None:
    async with served(TELEMETRY) as scene:
        listed = await scene.client.get("/things")
        assert [each["title"] for each in listed.json()] == ["telemetry"]
        scene.serve(NOTES)
        things = [valid(each) for each in (await scene.client.get("/things")).json()]
        assert [each["title"] for each in things] == ["notes", "telemetry"]
        one = await scene.client.get(f"/things/{things[0]['id']}")
        assert one.json() == things[0]
        problem(await scene.client.get("/things/urn:other"), 404, "not-found")


async def test_the_forms_of_http_lead_to_the_routes() -> None:
    async with served(NOTES) as scene:
        thing = (await scene.client.get("/models/notes/td")).json()
        create = thing["actions"]["create"]["forms"][0]
        made = await scene.client.request(
            create["htv:methodName"], thing["base"] + create["href"], json={"text": "a"}
        )
        assert made.status_code == 201
        read, write = thing["properties"]["record"]["forms"]
        href = thing["base"] + read["href"].replace("{id}", made.json()["id"])
        assert (await scene.client.request(read["htv:methodName"], href)).json() == made.json()
        changed = await scene.client.request(
            write["htv:methodName"],
            href,
            content=b'{"text": "b"}',
            headers={"content-type": write["contentType"]},
        )
        assert changed.json()["data"] == {"text": "b"}
        listed = thing["base"] + thing["properties"]["records"]["forms"][0]["href"].partition("{?")[0]
        assert len((await scene.client.get(listed)).json()["records"]) == 1
        events = thing["events"]["created"]["forms"]
        assert [form["subprotocol"] for form in events] == ["sse", "edgehost.v1"]
        async with scene.client.stream("GET", thing["base"] + events[0]["href"]) as stream:
            assert stream.headers["content-type"].startswith(events[0]["contentType"])


async def test_mqtt_and_coap_have_forms_where_they_are_served() -> None:
    async with served(brokers=("mqtt://broker:1883",), coap_base="coap://host/api/") as scene:
        scene.serve(NOTES, ports=PORTS)
        thing = valid((await scene.client.get("/models/notes/td")).json())
        forms = thing["actions"]["port-arrived"]["forms"]
        assert {form["href"].partition(":")[0] for form in forms} == {
            "models/notes/ports/arrived",
            "models/notes/{id}/ports/arrived",
            "coap",
            "mqtt",
        }
        (mqtt,) = [form for form in forms if form["href"].startswith("mqtt")]
        assert mqtt["mqv:topic"] == "drones/{id}/arrived"
        reading = thing["properties"]["record"]["forms"]
        assert "coap://host/api/models/notes/{id}" in [form["href"] for form in reading]


async def test_a_token_is_named_as_what_is_needed() -> None:
    token = "t" * 40
    async with served(NOTES, access=AccessPolicy(token=token)) as scene:
        headers = {"authorization": f"Bearer {token}"}
        thing = valid((await scene.client.get("/models/notes/td", headers=headers)).json())
    assert thing["securityDefinitions"]["access"]["scheme"] == "bearer"


async def test_roles_see_the_things_that_they_may_read() -> None:
    token = "t" * 40
    async with served(access=AccessPolicy(tokens={token: ["nurse"]})) as scene:
        scene.serve(NOTES, access={"read": {"allow": ["role:doctor"]}})
        scene.serve(TELEMETRY)
        headers = {"authorization": f"Bearer {token}"}
        things = (await scene.client.get("/things", headers=headers)).json()
        assert [each["title"] for each in things] == ["telemetry"]
        problem(await scene.client.get("/models/notes/td", headers=headers), 403, "forbidden")


async def test_references_and_lists_of_types_become_what_things_know() -> None:
    schema = {
        "properties": {"at": {"$ref": "#/$defs/at"}, "name": {"type": ["string", "null"]}, "any": True},
        "$defs": {"at": {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}]}},
    }
    async with served() as scene:
        scene.serve(NOTES, schema=schema)
        thing = valid((await scene.client.get("/models/notes/td")).json())
    assert thing["actions"]["create"]["input"]["properties"] == {
        "at": {"oneOf": [{"type": "string"}, {"type": "number", "minimum": 0}]},
        "name": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "any": {},
    }
