"""Records over HTTP, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.errors import GuestFailedError
from tests.api.scene import NOTES, TELEMETRY, problem, served


async def test_a_record_is_created_read_changed_and_deleted() -> None:
    async with served(TELEMETRY) as scene:
        created = await scene.client.post("/models/readings", json={"sensor": "attic", "celsius": 21.5})
        assert created.status_code == 201
        record = created.json()
        assert record["data"] == {"sensor": "attic", "celsius": 21.5}
        assert record["model"] == "telemetry"
        assert created.headers["location"] == f"/api/models/readings/{record['id']}"
        assert created.headers["etag"] == f'"{record["revision"]}"'

        path = f"/models/readings/{record['id']}"
        assert (await scene.client.get(path)).json() == record

        changed = await scene.client.patch(
            path,
            content=b'{"celsius": 22, "sensor": "attic", "ok": true}',
            headers={"content-type": "application/merge-patch+json"},
        )
        assert changed.status_code == 200
        assert changed.json()["data"] == {"sensor": "attic", "celsius": 22, "ok": True}
        assert changed.json()["revision"] > record["revision"]
        assert changed.json()["created_at"] == record["created_at"]

        deleted = await scene.client.delete(path)
        assert deleted.status_code == 204
        assert deleted.content == b""
        problem(await scene.client.get(path), 404, "not-found")
        problem(await scene.client.delete(path), 404, "not-found")


async def test_a_client_may_choose_the_id_once() -> None:
    async with served(NOTES) as scene:
        created = await scene.client.post("/models/notes", json={"id": "first", "text": "x"})
        assert created.json()["id"] == "first"
        assert created.json()["data"] == {"text": "x"}
        problem(await scene.client.post("/models/notes", json={"id": "first"}), 409, "conflict")
        problem(await scene.client.post("/models/notes", json={"id": "a/b"}), 422, "invalid-record")
        problem(await scene.client.post("/models/notes", json={"id": 7}), 422, "invalid-record")


async def test_data_that_does_not_fit_is_refused_with_pointers() -> None:
    async with served(TELEMETRY) as scene:
        response = await scene.client.post(
            "/models/readings", json={"sensor": "A!", "celsius": "warm", "tags": ["a", "a"], "extra": 1}
        )
        document = problem(response, 422, "invalid-record")
        pointers = {entry["pointer"] for entry in document["problems"]}
        assert pointers == {"/sensor", "/celsius", "/tags", ""}
        problem(await scene.client.post("/models/readings", json=[1]), 422, "invalid-record")
        assert (await scene.client.get("/models/readings")).json() == {"records": [], "next_cursor": ""}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b'{"a": NaN}', "malformed-json"),
        (b'{"a": 1e999}', "malformed-json"),
        (b'{"a": 1, "a": 2}', "malformed-json"),
        (b'{"a": "\\ud800"}', "malformed-json"),
        (b'{"a": 123456789012345678901234567890}', "malformed-json"),
        ('{"a": "é"}'.encode("latin-1"), "malformed-json"),
        ('{"a": 1}'.encode("utf-16"), "malformed-json"),
    ],
)
async def test_json_that_readers_disagree_about_is_refused(body: bytes, code: str) -> None:
    async with served(NOTES) as scene:
        response = await scene.client.post(
            "/models/notes", content=body, headers={"content-type": "application/json"}
        )
        problem(response, 400, code)


async def test_documents_that_are_too_deep_or_too_many_are_refused() -> None:
    async with served(NOTES) as scene:
        for body in (
            b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
            b"[" * 100_000,
            b'{"a":[' + b"0," * 10_001 + b"0]}",
        ):
            response = await scene.client.post(
                "/models/notes", content=body, headers={"content-type": "application/json"}
            )
            problem(response, 413, "too-large")


async def test_an_etag_saves_the_body_and_guards_a_change() -> None:
    async with served(NOTES) as scene:
        created = await scene.client.post("/models/notes", json={"text": "x"})
        path, etag = f"/models/notes/{created.json()['id']}", created.headers["etag"]

        unchanged = await scene.client.get(path, headers={"if-none-match": f'"other", W/{etag}'})
        assert unchanged.status_code == 304
        assert unchanged.content == b""
        assert (await scene.client.get(path, headers={"if-none-match": '"other"'})).status_code == 200

        newer = await scene.client.patch(path, json={"text": "y"}, headers={"if-match": etag})
        assert newer.status_code == 200
        problem(
            await scene.client.patch(path, json={"text": "z"}, headers={"if-match": etag}),
            412,
            "revision-conflict",
        )
        problem(await scene.client.delete(path, headers={"if-match": etag}), 412, "revision-conflict")
        problem(await scene.client.delete(path, headers={"if-match": "unquoted"}), 400, "bad-request")
        assert (
            await scene.client.patch(path, json={"text": "z"}, headers={"if-match": "*"})
        ).status_code == 200
        assert (await scene.client.get(path)).json()["data"] == {"text": "z"}


async def test_an_empty_precondition_is_refused_and_changes_nothing() -> None:
    async with served(NOTES) as scene:
        created = await scene.client.post("/models/notes", json={"text": "x"})
        path = f"/models/notes/{created.json()['id']}"
        for value in ("", ","):
            empty = {"if-match": value}
            problem(await scene.client.patch(path, json={"text": "y"}, headers=empty), 400, "bad-request")
            problem(await scene.client.delete(path, headers=empty), 400, "bad-request")
        assert (await scene.client.get(path)).json()["data"] == {"text": "x"}


async def test_a_command_answers_and_is_guarded_by_the_etag() -> None:
    async with served() as scene:
        scene.serve(NOTES, commands={"shout": {}, "fail": {}})

        async def shout(question: Any, _context: object) -> Any:
            return {"result": question["args"], "data": {"loud": True}}

        async def fail(_question: Any, _context: object) -> Any:
            raise GuestFailedError("It is too late \ud800.")

        scene.guests.functions = {("notes", "shout"): shout, ("notes", "fail"): fail}
        created = await scene.client.post("/models/notes", json={"id": "a"})
        guard = {"if-match": created.headers["etag"]}
        answer = await scene.client.post("/models/notes/a/commands/shout", json=[1], headers=guard)
        assert answer.json()["result"] == [1]
        assert answer.json()["record"]["data"] == {"loud": True}
        assert answer.headers["etag"] != created.headers["etag"]
        again = await scene.client.post("/models/notes/a/commands/shout", headers=guard)
        problem(again, 412, "revision-conflict")
        plain = await scene.client.post("/models/notes/a/commands/shout")
        assert plain.json() == {"result": None}
        failed = problem(await scene.client.post("/models/notes/a/commands/fail"), 422, "guest-failed")
        assert failed["detail"] == "It is too late \ud800."
        problem(await scene.client.post("/models/notes/a/commands/whisper"), 404, "not-found")
        problem(await scene.client.get("/models/notes/a/commands/shout"), 405, "method-not-allowed")


async def test_a_patch_that_changes_nothing_writes_nothing() -> None:
    async with served(NOTES) as scene:
        created = (await scene.client.post("/models/notes", json={"n": 1})).json()
        path = f"/models/notes/{created['id']}"
        assert (await scene.client.patch(path, json={"n": 1, "gone": None})).json() == created
        assert (await scene.client.patch(path, json={"n": True})).json()["data"] == {"n": True}


async def test_a_repeated_request_creates_one_record() -> None:
    async with served(NOTES) as scene:
        headers = {"idempotency-key": "abc"}
        first = await scene.client.post("/models/notes", json={"text": "x"}, headers=headers)
        again = await scene.client.post("/models/notes", json={"text": "x"}, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        other = await scene.client.post("/models/notes", json={"text": "y"}, headers=headers)
        problem(other, 409, "idempotency-conflict")
        bad = await scene.client.post("/models/notes", json={}, headers={"idempotency-key": "a b"})
        problem(bad, 400, "bad-request")
        assert len((await scene.client.get("/models/notes")).json()["records"]) == 1


async def test_routes_appear_and_vanish_with_releases() -> None:
    async with served() as scene:
        assert (await scene.client.get("/models")).json() == {"models": []}
        problem(await scene.client.get("/models/notes"), 404, "not-found")
        scene.serve(NOTES)
        assert (await scene.client.post("/models/notes", json={})).status_code == 201
        index = (await scene.client.get("/models")).json()["models"]
        assert [(model["endpoint"], model["href"]) for model in index] == [("notes", "/api/models/notes")]
        assert "/api/models/notes" in (await scene.client.get("/openapi.json")).json()["paths"]
        scene.models.withdraw("notes")
        problem(await scene.client.get("/models/notes"), 404, "not-found")
        assert "/api/models/notes" not in (await scene.client.get("/openapi.json")).json()["paths"]


async def test_every_other_method_and_path_is_a_problem_too() -> None:
    async with served(TELEMETRY) as scene:
        response = await scene.client.put("/models/readings", json={})
        problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == "GET, HEAD, POST"
        problem(await scene.client.request("PROPFIND", "/models"), 405, "method-not-allowed")
        for path in (
            "/",
            "/nothing",
            "/models/readings/a/b",
            "/models/readings/a/commands",
            "/models/readings/",
            "//",
        ):
            problem(await scene.client.get(path), 404, "not-found")
        problem(await scene.client.get("/models/reading"), 404, "not-found")
        assert "readings" in (await scene.client.get("/models/reading")).json()["hint"]
        assert (await scene.client.head("/models")).status_code == 200


async def test_only_json_in_utf8_is_read() -> None:
    async with served(NOTES) as scene:
        for headers in (
            {"content-type": "text/plain"},
            {},
            {"content-type": "application/json; charset=latin-1"},
            {"content-type": "application/json", "content-encoding": "gzip"},
            {"content-type": "application/merge-patch+json"},
        ):
            problem(
                await scene.client.post("/models/notes", content=b"{}", headers=headers),
                415,
                "unsupported-media-type",
            )
        ok = {"content-type": 'application/json; charset="UTF-8"'}
        assert (await scene.client.post("/models/notes", content=b"{}", headers=ok)).status_code == 201
