"""The document says what the routes do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import referencing
import referencing.jsonschema

from tests.api.scene import NOTES, TELEMETRY, problem, served


async def test_the_document_follows_the_live_models() -> None:
    async with served(TELEMETRY) as scene:
        scene.serve(NOTES, commands={"shout": {"description": "Make it loud"}})
        response = await scene.client.get("/openapi.json")
        document = response.json()
        assert document["openapi"] == "3.1.0"
        assert set(document["paths"]) == {
            "/api/models",
            "/api/events",
            "/api/things",
            "/api/models/readings",
            "/api/models/readings/bulk",
            "/api/models/readings/td",
            "/api/models/readings/{id}",
            "/api/models/notes",
            "/api/models/notes/bulk",
            "/api/models/notes/td",
            "/api/models/notes/{id}",
            "/api/models/notes/{id}/commands/shout",
        }
        assert (await scene.client.get("/openapi.json")).content == response.content
        problem(await scene.client.get("/openapi.json/x"), 404, "not-found")
        problem(await scene.client.delete("/openapi.json"), 405, "method-not-allowed")


async def test_every_operation_has_its_own_name_and_a_problem() -> None:
    async with served(TELEMETRY, NOTES) as scene:
        document = (await scene.client.get("/openapi.json")).json()
    operations = [
        operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert all("$ref" in operation["responses"]["default"] for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for reference in _references(document):
        target: Any = document
        for step in reference.split("/")[1:]:
            target = target[step]


async def test_its_schemas_accept_what_the_api_answers() -> None:
    async with served(TELEMETRY) as scene:
        document = (await scene.client.get("/openapi.json")).json()
        resource = referencing.Resource.from_contents(
            document, default_specification=referencing.jsonschema.DRAFT202012
        )
        registry: Any = referencing.Registry().with_resource("urn:document", resource)

        def check(name: str, value: object) -> None:
            jsonschema.Draft202012Validator(
                {"$ref": f"urn:document#/components/schemas/{name}"}, registry=registry
            ).validate(value)

        created = await scene.client.post(
            "/models/readings", json={"sensor": "a", "place": {"room": "attic"}, "celsius": 1}
        )
        check("readings-record", created.json())
        check("readings-data", created.json()["data"])
        check("readings-new", {"id": "a", "sensor": "b"})
        check("Problem", (await scene.client.post("/models/readings", json={"sensor": 1})).json())
        refused = (await scene.client.post("/models/readings", json={"place": {"room": 1}})).json()
        check("Problem", refused)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
