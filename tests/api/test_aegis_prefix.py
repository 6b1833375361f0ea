"""The paths of AEGIS and the replies that it documents; what was dangerous there says what to use instead."""

from __future__ import annotations

from typing import Any

import httpx

from edgehost.ports.sandbox import CallContext
from tests.api.scene import NOTES, TELEMETRY, Scene, served

PORTS: dict[str, Any] = {"heard": {"direction": "inbound", "methods": ["POST", "GET"]}}


def at(scene: Scene, path: str) -> str:
    return f"{scene.at.url}/aegis/api{path}"


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    """AEGIS tells an error as ``{"error": ...}``."""
    assert response.status_code == status, response.text
    document: dict[str, Any] = response.json()
    assert document["error"] == document["detail"]
    return document


async def test_it_is_off_by_default() -> None:
    async with served(NOTES) as scene:
        assert (await scene.client.get(at(scene, "/models/notes"))).status_code == 404


async def test_records_have_the_documented_replies() -> None:
    async with served(NOTES, aegis_prefix=True) as scene:
        client = scene.client
        key = {"idempotency-key": "k1"}
        made = await client.post(at(scene, "/models/notes"), json={"text": "a"}, headers=key)
        assert made.status_code == 201
        identity = made.json()["modelId"]
        assert made.json() == {"status": "ok", "modelId": identity}
        again = await client.post(at(scene, "/models/notes"), json={"text": "other"}, headers=key)
        assert (again.status_code, again.json()) == (201, made.json())
        found = await client.get(at(scene, f"/models/notes/{identity}"))
        model = found.json()
        assert found.status_code == 200
        assert (model["text"], model["id"], model["modelName"]) == ("a", identity, "NOTES")
        assert isinstance(model["createTime"], int)
        changed = await client.patch(at(scene, f"/models/notes/{identity}"), json={"text": "b"})
        assert (changed.status_code, changed.json()["status"]) == (201, "ok")
        listed = await client.get(at(scene, "/models/notes"))
        assert [each["text"] for each in listed.json()] == ["b"]
        gone = await client.delete(at(scene, f"/models/notes/{identity}"))
        assert gone.status_code == 201
        refused(await client.get(at(scene, f"/models/notes/{identity}")), 404)
        refused(await client.patch(at(scene, f"/models/notes/{identity}"), json={}), 404)
        refused(await client.delete(at(scene, f"/models/notes/{identity}")), 404)
        refused(await client.post(at(scene, "/models/notes"), content=b"x"), 415)
        refused(await client.put(at(scene, "/models/notes"), json={}), 405)


async def test_commands_and_ports_answer_at_their_paths() -> None:
    async def echo(question: Any, _: CallContext) -> Any:
        return {"result": question["args"]}

    async with served(aegis_prefix=True) as scene:
        scene.serve(NOTES, commands={"echo": {}}, ports=PORTS)
        scene.guests.functions["notes", "echo"] = scene.guests.functions["notes", "heard"] = echo
        await scene.client.post("/models/notes", json={"id": "n1"})
        by_get = await scene.client.get(at(scene, '/models/notes/n1?command=echo&args={"a":1}'))
        assert (by_get.status_code, by_get.json()) == (200, {"a": 1})
        assert (await scene.client.get(at(scene, "/models/notes/n1?command=echo&args=hi"))).json() == "hi"
        by_patch = await scene.client.patch(at(scene, "/models/notes/n1/echo"), json=[1])
        assert (by_patch.status_code, by_patch.json()) == (201, [1])
        refused(await scene.client.patch(at(scene, "/models/notes/n1/sing"), json=1), 404)
        # a page of another site could make a browser get this
        elsewhere = {"sec-fetch-site": "cross-site"}
        refused(await scene.client.get(at(scene, "/models/notes/n1?command=echo"), headers=elsewhere), 403)
        refused(await scene.client.get(at(scene, "/models/notes/service/ports/other")), 404)


async def test_queries_use_its_keys() -> None:
    async with served(TELEMETRY, aegis_prefix=True) as scene:
        for number, sensor in enumerate(["attic-1", "attic-2", "cellar-1"]):
            await scene.client.post("/models/readings", json={"sensor": sensor, "count": number})

        async def sensors(query: str) -> list[str]:
            answer = await scene.client.get(at(scene, f"/models/readings?{query}"))
            assert answer.status_code == 200, answer.text
            return [each["sensor"] for each in answer.json()]

        assert await sensors("sensor=-1") == ["attic-1", "cellar-1"]
        assert await sensors("sensor=^attic") == ["attic-1", "attic-2"]
        assert await sensors("sensor=^attic-1$") == ["attic-1"]
        assert await sensors("count=2&sensor=^attic&__operand=or") == ["attic-1", "attic-2", "cellar-1"]
        assert await sensors("__limit=1&__cached=true") == ["attic-1"]
        counted = await scene.client.get(at(scene, "/models/readings?__count=true&sensor=^attic"))
        assert counted.json() == {"total": 2}
        for wrong in (
            "sensor=(a%2B)%2Bb",
            "sensor=a$",
            "__aggregate=[]",
            "__operand=xor",
            "__limit=0",
            "count=x",
        ):
            refused(await scene.client.get(at(scene, f"/models/readings?{wrong}")), 400)


async def test_what_was_dangerous_says_what_to_use_instead() -> None:
    async with served(NOTES, aegis_prefix=True) as scene:
        for method, path in (
            ("GET", "/models/reload?modelName=*"),
            ("GET", "/reload"),
            ("POST", "/reload"),
            ("POST", "/deploy"),
        ):
            document = refused(await scene.client.request(method, at(scene, path)), 410)
            assert "edgehost" in document["hint"]
        scene.serve({"name": "reload", "version": "1.0.0", "kind": "model", "model": {}})
        assert (await scene.client.get(at(scene, "/models/reload"))).json() == []


async def test_config_shows_views_to_the_operator_alone(tmp_path: Any) -> None:
    class Viewed:
        async def view(self, details: str, model: str = "") -> dict[str, Any]:
            return {details: [details, model]}

    async with served(NOTES, host=Viewed(), aegis_prefix=True) as scene:
        assert (await scene.client.get(at(scene, "/config?details=models"))).status_code == 403
    async with served(NOTES, host=Viewed(), unix_socket=tmp_path / "s", aegis_prefix=True) as scene:
        asked = "http://localhost/aegis/api/config?details=threads&modelName=NOTES"
        assert (await scene.client.get(asked)).json() == ["sandboxes", "notes"]
        refused(await scene.client.get("http://localhost/aegis/api/config?html=true"), 400)
