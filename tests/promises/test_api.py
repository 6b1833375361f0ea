"""Promises of AEGIS about its API, kept by a real host with a guest in C: "Dynamic API generation", "Ports ...
run on receipt of an API request", custom routes, "Object-relational features", "External clients can connect to
the ws interface to integrate with, observe or control", and `config?details=`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from edgehost.domain.errors import EdgehostError, NotFoundError
from tests.api.scene import problem
from tests.journeys.api_fleet import ODD_ROUTES, kiosk, served_kiosk
from tests.journeys.fleet import Fleet


async def test_dynamic_api_generation_with_the_document_the_things_and_the_routes(tmp_path: Path) -> None:
    async with served_kiosk(tmp_path) as (fleet, host, client):
        made = await client.post("/models/kiosks", json={"id": "k1", "name": "North gate", "seats": 4})
        assert made.status_code == 201
        document = (await client.get("/openapi.json")).json()
        assert {"/api/models/kiosks/{id}/ports/arrived", "/api/kiosk/menu/{kind}"} <= set(document["paths"])
        things = (await client.get("/things")).json()
        assert [each["title"] for each in things] == ["kiosk"]

        # a release without routes and ports takes them away, in the same moment for all of them
        await fleet.publish(kiosk("1.1.0", routes=[], ports={}, commands={"again": {"export": "echo"}}))
        await host.live("kiosk", "1.1.0")
        problem(await client.get("/kiosk/menu/tea"), 404, "not-found")
        problem(await client.post("/models/kiosks/ports/arrived", json=1), 404, "not-found")
        answered = await client.post("/models/kiosks/k1/commands/again", json=[1])
        assert answered.json() == {"result": [1]}
        document = (await client.get("/openapi.json")).json()
        assert "/api/kiosk/menu/{kind}" not in document["paths"]


async def test_ports_can_be_configured_to_run_on_receipt_of_an_api_request(tmp_path: Path) -> None:
    async with served_kiosk(tmp_path) as (_, _, client):
        await client.post("/models/kiosks", json={"id": "k1", "name": "North"})
        base = "/models/kiosks"
        assert (await client.post(f"{base}/ports/arrived", json={"who": "Ada"})).json() == {
            "result": {"who": "Ada"}
        }
        assert (await client.post(f"{base}/k1/ports/arrived", json=7)).json() == {"result": 7}
        assert (await client.get(f"{base}/k1/ports/arrived?who=Ada")).json() == {"result": {"who": "Ada"}}
        problem(await client.put(f"{base}/k1/ports/arrived", json=7), 405, "method-not-allowed")
        problem(await client.post(f"{base}/k2/ports/arrived", json=7), 404, "not-found")
        problem(await client.post(f"{base}/k1/ports/arived", json=7), 404, "not-found")
        # a path of its own names the record
        assert (await client.put("/kiosk/bell/k1", json="ring")).json() == {"result": "ring"}
        problem(await client.put("/kiosk/bell/k2", json="ring"), 404, "not-found")


async def test_custom_routes_of_a_component_answer_as_it_says_and_no_more(tmp_path: Path) -> None:
    odd = kiosk(routes=[*kiosk_routes(), *ODD_ROUTES])
    async with served_kiosk(tmp_path, odd) as (_, _, client):
        menu = await client.get("/kiosk/menu/lunch%20time")
        assert menu.json() == {"menu": {"kind": "lunch time"}, "items": ["tea", "soup"]}
        assert menu.headers["cache-control"] == "max-age=60"
        ordered = await client.post(
            "/kiosk/orders?size=2&size=3",
            json={"tea": 1},
            headers={"authorization": "Bearer secret", "cookie": "a=b", "accept-language": "de"},
        )
        told = ordered.json()
        assert ordered.status_code == 201
        assert (told["method"], told["path"], told["query"]) == ("POST", "kiosk/orders", {"size": ["2", "3"]})
        assert told["body"] == {"tea": 1}
        assert told["headers"]["accept-language"] == "de"
        assert not {"authorization", "cookie", "host"} & set(told["headers"])
        text = await client.put("/kiosk/orders", content="zwölf", headers={"content-type": "text/plain"})
        assert text.json()["body"] == "zwölf"
        page = await client.get("/kiosk")
        assert page.headers["content-type"] == "text/html"
        assert page.headers["content-security-policy"].startswith("sandbox")  # its script reaches nothing
        assert (await client.get("/kiosk/nothing")).status_code == 204
        problem(await client.get("/kiosk/rude"), 502, "guest-protocol")
        problem(await client.get("/kiosk/confused"), 502, "guest-protocol")
        assert (
            problem(await client.get("/kiosk/grumpy"), 422, "guest-failed")["detail"]
            == "kiosk: closed on Mondays"
        )
        problem(await client.delete("/kiosk"), 405, "method-not-allowed")
        problem(await client.get("/kiosk/menu"), 404, "not-found")
        binary = {"content-type": "image/png"}
        problem(
            await client.post("/kiosk/orders", content=b"x", headers=binary), 415, "unsupported-media-type"
        )


async def test_two_components_cannot_have_one_path(tmp_path: Path) -> None:
    other = kiosk(
        component="stall",
        name="stall",
        endpoint="stalls",
        relations={},
        ports={},
        routes=[{"path": "kiosk/menu/{x}", "export": "menu"}],
    )
    async with served_kiosk(tmp_path) as (fleet, host, client):
        await fleet.publish(other)
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: ledger.of("stall"))
        with pytest.raises(EdgehostError, match="is served by 'kiosk'"):
            await host.request("POST", "/api/host/deploy", {"component": "stall"})
        assert (await client.get("/kiosk/menu/x")).status_code == 200


async def test_object_relational_features_over_the_api(tmp_path: Path) -> None:
    async with served_kiosk(tmp_path) as (_, _, client):
        await client.post("/models/kiosks", json={"id": "a", "name": "A"})
        made = await client.post("/models/kiosks/a/relations/neighbours", json={"name": "B", "id": "b"})
        assert made.status_code == 201
        assert made.headers["location"] == "/api/models/kiosks/b"
        assert made.json()["data"]["near"] == "a"
        related = (await client.get("/models/kiosks/a?relation=neighbours")).json()
        assert related["model"] == "kiosk"
        assert [each["id"] for each in related["records"]] == ["b"]
        assert (await client.get("/models/kiosks/a/relations/neighbours")).json() == related
        one = (await client.get("/models/kiosks/b?include=neighbour.neighbours")).json()
        assert one["related"]["neighbour"]["id"] == "a"
        assert one["related"]["neighbour"]["related"]["neighbours"][0]["id"] == "b"
        listed = (await client.get("/models/kiosks?include=neighbour")).json()["records"]
        assert [each["related"]["neighbour"] and each["related"]["neighbour"]["id"] for each in listed] == [
            None,
            "a",
        ]
        problem(await client.get("/models/kiosks/a?relation=friends"), 404, "not-found")
        problem(await client.get("/models/kiosks?include=friends"), 404, "not-found")


async def test_queries_count_sum_sort_search_and_stream(tmp_path: Path) -> None:
    async with served_kiosk(tmp_path) as (_, _, client):
        lines = [
            {"id": f"k{number}", "name": f"gate {number}", "seats": number, "open": number > 2, "town": town}
            for number, town in enumerate(["ulm", "bonn", "ulm", "kiel"])
        ]
        body = "".join(json.dumps(line) + "\n" for line in [*lines, {"seats": 1}])
        report = await client.post(
            "/models/kiosks/bulk?on_error=skip",
            content=body,
            headers={"content-type": "application/x-ndjson"},
        )
        assert report.json() | {"errors": []} == {
            "lines": 5, "created": 4, "replaced": 0, "unchanged": 0, "failed": 1, "stopped": False, "errors": [],
        }  # fmt: skip

        async def ids(query: str) -> list[str]:
            answer = await client.get(f"/models/kiosks?{query}")
            assert answer.status_code == 200, answer.text
            return [record["id"] for record in answer.json()["records"]]

        assert await ids("sort=town,-seats") == ["k1", "k3", "k2", "k0"]
        assert await ids("town__in=ulm,kiel&seats__gt=0") == ["k2", "k3"]
        assert await ids('or=[{"town":"bonn"},{"open":true}]') == ["k1", "k3"]
        assert await ids('where={"$and":[{"seats__ge":1},{"seats__lt":3}]}') == ["k1", "k2"]
        assert await ids("q=gate") == ["k0", "k1", "k2", "k3"]
        assert await ids("near__exists=true") == []
        assert (await client.get("/models/kiosks?count=true&town=ulm")).json() == {"count": 2}
        figures = await client.get("/models/kiosks?aggregate=sum(seats),avg(seats)&group_by=town")
        rows = {row["group"]["town"]: row for row in figures.json()["rows"]}
        assert rows["ulm"]["values"] == {"sum(seats)": 2, "avg(seats)": 1}
        some = (await client.get("/models/kiosks?fields=name&limit=1")).json()["records"][0]
        assert some["data"] == {"name": "gate 0"}
        async with client.stream(
            "GET", "/models/kiosks", headers={"accept": "application/x-ndjson"}
        ) as stream:
            assert stream.headers["content-type"] == "application/x-ndjson"
            told = [json.loads(line) async for line in stream.aiter_lines()]
        assert [each["id"] for each in told] == ["k0", "k1", "k2", "k3"]
        exported = (await client.get("/models/kiosks?format=cbor")).content
        again = await client.post(
            "/models/kiosks/bulk", content=exported, headers={"content-type": "application/cbor-seq"}
        )
        assert again.json()["unchanged"] == 4
        for wrong in (
            "count=true&format=ndjson",
            "aggregate=median(seats)",
            "bucket=1y",
            "sort=",
            "count=1",
            "or={}",
        ):
            problem(await client.get(f"/models/kiosks?{wrong}"), 400, "invalid-query")


async def test_external_clients_connect_to_the_ws_interface_to_observe_and_control(tmp_path: Path) -> None:
    async with (
        served_kiosk(tmp_path) as (fleet, host, client),
        asyncio.timeout(30),
        connect(f"{host.host.served_at.url}/api/ws".replace("http", "ws")) as socket,
    ):

        async def ask(**message: Any) -> Any:
            await socket.send(json.dumps(message))
            return json.loads(await socket.recv())

        assert await ask(id=1, op="subscribe", type="edgehost.record.*") == {"id": 1, "ok": {}}
        await client.post("/models/kiosks", json={"id": "k1", "name": "North"})
        event = json.loads(await socket.recv())
        assert (event["sub"], event["event"]["subject"]) == (1, "kiosk/k1")
        echoed = await ask(id=2, op="command", model="kiosk", record="k1", command="echo", args="hi")
        assert echoed == {"id": 2, "ok": {"result": "hi"}}
        asked = await ask(id=3, op="port", model="kiosk", port="arrived", args=[1])
        assert asked == {"id": 3, "ok": {"result": [1]}}
        await ask(id=4, op="unsubscribe", sub=1)
        # a release is exchanged under the open socket
        await fleet.publish(kiosk("1.0.1"))
        await host.live("kiosk", "1.0.1")
        echoed = await ask(id=5, op="command", model="kiosk", record="k1", command="echo", args="hi")
        assert echoed == {"id": 5, "ok": {"result": "hi"}}


async def test_config_details_show_models_ports_events_relations_commands_and_what_runs(
    tmp_path: Path,
) -> None:
    async with served_kiosk(tmp_path) as (_, host, _):

        async def view(details: str, model: str = "") -> Any:
            answer = await host.request("GET", "/api/host/config", details=details, model=model)
            return answer[details]

        (model,) = await view("models")
        assert (model["model"], model["endpoint"], model["version"]) == ("kiosk", "kiosks", "1.0.0")
        assert {"path": "kiosk/orders", "methods": ["POST", "PUT"]} in model["routes"]
        assert {port["port"] for port in await view("ports", model="kiosk")} == {"arrived", "bell"}
        assert {relation["relation"] for relation in await view("relations")} == {"neighbour", "neighbours"}
        assert [command["command"] for command in await view("commands")] == ["echo"]
        assert (await view("bindings"))["adapters"] == []
        assert {each["component"] for each in await view("sandboxes")} == {"kiosk"}
        (source,) = await view("sources")
        assert source["indexes"] == ["town"]
        assert await view("events") == []
        assert [each["component"] for each in await view("traffic")] == ["kiosk"]
        with pytest.raises(NotFoundError, match="sandboxes"):
            await view("threads")


def kiosk_routes() -> list[dict[str, Any]]:
    return [
        {"path": "kiosk/menu/{kind}", "export": "menu"},
        {"path": "kiosk/orders", "export": "mirror", "methods": ["POST", "PUT"]},
        {"path": "/kiosk", "export": "page"},
    ]


async def test_clients_of_aegis_find_its_paths_and_replies(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(kiosk())
    config = fleet.config()
    config = replace(config, api=replace(config.api, aegis_prefix=True))
    async with fleet.host(config) as host:
        await host.live("kiosk", "1.0.0")
        base = f"{host.host.served_at.url}/aegis/api"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=20) as client:
            made = await client.post("/models/kiosks", json={"id": "a", "name": "A"})
            assert (made.status_code, made.json()) == (201, {"status": "ok", "modelId": "a"})
            await client.post("/models/kiosks", json={"id": "b", "name": "B", "near": "a"})
            related = (await client.get("/models/kiosks/a?relation=neighbours")).json()
            assert related["KIOSK"]["id"] == "a"
            assert [each["id"] for each in related["NEIGHBOURS"]] == ["b"]
            for path in ("/models/kiosks/service/ports/arrived", "/models/kiosks/a/service/ports/arrived"):
                answered = await client.post(path, json={"x": 1})
                assert (answered.status_code, answered.json()) == (201, {"x": 1})
            assert (await client.get("/kiosk/menu/tea")).json()["menu"] == {"kind": "tea"}
            assert (await client.get("/config?details=models")).status_code == 403
        view = await host.request("GET", "/aegis/api/config", details="data", modelName="KIOSK")
        assert view[0]["model"] == "kiosk"
