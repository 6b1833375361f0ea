"""Promises of AEGIS about data, kept through a real host with guests in C: "datasource relations for federated
schemas and objects", "object broker for retrieving external model instances", "persistence API for cached
datasources", "dynamic, individualized storage adapter generation", "automatic persistence of federated modules",
"transparent integration and persistence", "access to data and objects requires explicit permission".
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.mongo_records import open_mongo_records
from edgehost.domain.component_file import embed_spec
from edgehost.domain.errors import (
    ConflictError,
    InvalidQueryError,
    NotGrantedError,
    RefusedError,
    TooLargeError,
)
from edgehost.usecases import query_records
from tests.contracts.compatible_server import compatible_server, forgetful_driver
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import compiled_file

GUEST = Path(__file__).parents[1] / "journeys/data_guests/shop.c"
MODELS = "/api/models"
GRANTS = {"functions": ["related", "find"], "models": ["customer", "order", "product"]}
CONSENT = {each: {"allow": ["customer", "order"]} for each in ("relation", "read", "create")}
CUSTOMER = {
    "orders": {"model": "order", "type": "one_to_many", "foreign_key": "customer"},
    "big": {"model": "order", "type": "custom", "export": "big"},
    "friends": {"model": "customer", "type": "many_to_many", "foreign_key": "friends"},
}
ORDER = {
    "buyer": {"model": "customer", "type": "many_to_one", "foreign_key": "customer"},
    "items": {
        "model": "product",
        "type": "contains_many",
        "array_key": "lines",
        "foreign_key": "sku",
        "key": "sku",
    },
    "parcel": {"model": "order", "type": "one_to_one", "foreign_key": "parcel"},
}


def component(
    name: str, *, version: str = "1.0.0", grants: Mapping[str, Any] = GRANTS, **model: Any
) -> bytes:
    document = {
        "name": name,
        "version": version,
        "kind": "model",
        "grants": dict(grants),
        "limits": {"deadline_ms": 5000},
        "model": {"commands": {"follow": {}, "search": {}}, "access": CONSENT, **model},
    }
    return embed_spec(compiled_file(GUEST), document)


async def publish_shop(fleet: Fleet) -> None:
    source = {"indexes": ["total"], "text": ["note"]}
    await fleet.publish(component("customer", relations=CUSTOMER))
    await fleet.publish(component("order", relations=ORDER, source=source))
    await fleet.publish(component("product"))


async def open_shop(host: RunningHost) -> None:
    for name in ("customer", "order", "product"):
        await host.live(name, "1.0.0")


async def add(host: RunningHost, model: str, record_id: str, **data: Any) -> None:
    await host.request("POST", f"{MODELS}/{model}", body={"id": record_id, **data})


async def command(host: RunningHost, of: str, name: str, **args: Any) -> Any:
    answer = await host.request("POST", f"{MODELS}/{of}/commands/{name}", body=args)
    return answer["result"]


def ids(page: Mapping[str, Any]) -> list[str]:
    return [record["id"] for record in page["records"]]


async def test_datasource_relations_for_federated_schemas_and_objects(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await publish_shop(fleet)
    async with fleet.host() as host:
        await open_shop(host)
        await add(host, "customer", "anna", friends=["otto"])
        await add(host, "customer", "otto")
        await add(host, "product", "p1", sku="s1")
        for n in range(4):
            await add(host, "order", f"o{n}", customer="anna", total=n * 50, lines=[{"sku": "s1"}])
        orders = await host.request("GET", f"{MODELS}/customer/anna", relation="orders", limit=3)
        assert (orders["model"], ids(orders)) == ("order", ["o0", "o1", "o2"])
        rest = await host.request(
            "GET", f"{MODELS}/customer/anna", relation="orders", cursor=orders["next_cursor"]
        )
        assert ids(rest) == ["o3"]
        assert ids(await host.request("GET", f"{MODELS}/customer/anna", relation="big")) == ["o2", "o3"]
        assert ids(await host.request("GET", f"{MODELS}/customer/anna", relation="friends")) == ["otto"]
        assert ids(await host.request("GET", f"{MODELS}/order/o1", relation="buyer")) == ["anna"]
        order = await host.request("GET", f"{MODELS}/order/o1", include="buyer.friends,items,parcel")
        assert order["related"]["buyer"]["related"]["friends"][0]["id"] == "otto"
        assert [item["id"] for item in order["related"]["items"]] == ["p1"]
        assert order["related"]["parcel"] is None


async def test_object_broker_guests_reach_related_instances_and_create_them(tmp_path: Path) -> None:
    """The seed's ``order.customer()`` and ``customer.orders({...})``."""
    fleet = Fleet(tmp_path)
    await publish_shop(fleet)
    async with fleet.host() as host:
        await open_shop(host)
        await add(host, "customer", "anna")
        made = await command(
            host, "customer/anna", "follow", id="anna", relation="orders", create={"total": 7}
        )
        record = made["ok"]["record"]
        assert record["data"] == {"customer": "anna", "total": 7}
        found = await command(host, f"order/{record['id']}", "follow", id=record["id"], relation="buyer")
        assert [each["id"] for each in found["ok"]["records"]] == ["anna"]
        item = await command(
            host, f"order/{record['id']}", "follow", id=record["id"], relation="items", create={"sku": "s9"}
        )
        assert item["ok"]["record"]["model"] == "product"
        order = await host.request("GET", f"{MODELS}/order/{record['id']}")
        assert order["data"]["lines"] == [{"sku": "s9"}]


@pytest.mark.parametrize("side", ["asking", "asked"])
async def test_access_to_data_and_objects_requires_explicit_permission(tmp_path: Path, side: str) -> None:
    fleet = Fleet(tmp_path)
    grants = {**GRANTS, "models": ["customer"]} if side == "asking" else GRANTS
    await fleet.publish(component("customer", relations=CUSTOMER, grants=grants))
    await fleet.publish(component("order", relations=ORDER, access=CONSENT if side == "asking" else {}))
    async with fleet.host() as host:
        for name in ("customer", "order"):
            await host.live(name, "1.0.0")
        await add(host, "customer", "anna")
        await add(host, "order", "o", customer="anna")
        for answer in (
            await command(host, "customer/anna", "follow", id="anna", relation="orders"),
            await command(host, "customer/anna", "follow", id="anna", relation="orders", create={}),
            await command(host, "customer/anna", "search", model="order"),
        ):
            assert answer["error"]["code"] == "not-granted"
        with pytest.raises(NotGrantedError):
            await host.request("GET", f"{MODELS}/customer/anna", relation="orders")
        with pytest.raises(NotGrantedError):
            await host.request("GET", f"{MODELS}/customer/anna", include="orders")
        assert ids(await host.request("GET", f"{MODELS}/order")) == ["o"]


async def test_persistence_api_guests_and_clients_ask_in_the_same_words(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await publish_shop(fleet)
    async with fleet.host() as host:
        await open_shop(host)
        for n, note in enumerate(["Red lamp", "blue lamp", "Lampshade, red", "chair"]):
            await add(host, "order", f"o{n}", total=n % 2, note=note)
        either = [{"total": 1}, {"note__contains": "shade"}]
        asked = {"model": "order", "filters": {"$text": "lamp", "$or": either}, "sort": "-total,note"}
        found = (await command(host, "order/o0", "search", **asked, fields=["total"]))["ok"]["records"]
        assert [(each["id"], each["data"]) for each in found] == [("o1", {"total": 1}), ("o2", {"total": 0})]
        query: dict[str, Any] = {"or": json.dumps(either), "sort": "-total,note", "fields": "total"}
        page = await host.request("GET", f"{MODELS}/order", q="lamp", **query)
        assert [(each["id"], each["data"]) for each in page["records"]] == [
            (each["id"], each["data"]) for each in found
        ]


async def test_automatic_persistence_survives_a_restart_with_indexes_and_words(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await publish_shop(fleet)
    async with fleet.host() as host:
        await open_shop(host)
        for n in range(50):
            await add(host, "order", f"o{n}", total=n, note=f"number {n} of many")
    async with fleet.host() as host:
        await open_shop(host)
        assert ids(await host.request("GET", f"{MODELS}/order", total__ge=48)) == ["o48", "o49"]
        assert ids(await host.request("GET", f"{MODELS}/order", q="num 17")) == ["o17"]
        assert ids(await host.request("GET", f"{MODELS}/order", sort="-total", limit=2)) == ["o49", "o48"]


SOURCES = """
[sources.far]
kind = "mongo"
url_file = "far.url"
database = "{database}"
timeout_s = 2
[components.order]
source = "far"
"""


async def test_individualized_storage_each_model_has_the_source_that_the_host_gives_it(
    tmp_path: Path,
) -> None:
    """Tested against a MongoDB-compatible server."""
    fleet = Fleet(tmp_path)
    database = f"promise-{uuid.uuid4().hex[:12]}"
    (tmp_path / "far.url").write_text(compatible_server() + "\n")
    far = SOURCES.format(database=database)
    await publish_shop(fleet)
    async with fleet.host(fleet.config(more=far)) as host:
        await open_shop(host)
        await add(host, "customer", "anna")
        for n in range(5):
            await add(host, "order", f"o{n}", customer="anna", total=n)
        with pytest.raises(ConflictError):
            await add(host, "order", "o1")
        orders = await host.request("GET", f"{MODELS}/customer/anna", relation="orders")
        assert ids(orders) == [f"o{n}" for n in range(5)]
        assert ids(await host.request("GET", f"{MODELS}/order", sort="-total", limit=2)) == ["o4", "o3"]
    async with open_mongo_records(compatible_server(), database=database) as records:
        assert (await records.count("order"), await records.count("customer")) == (5, 0)
    with pytest.raises(ConflictError, match="move_records"):
        async with fleet.host(
            fleet.config(more='[components.order]\nsource = "tinydb"\n' + far.split("[comp")[0])
        ):
            pass
    back = '[components.order]\nsource = "tinydb"\nmove_records = true\n' + far.split("[comp")[0]
    async with fleet.host(fleet.config(more=back)) as host:
        await open_shop(host)
        assert ids(await host.request("GET", f"{MODELS}/order", total__ge=3)) == ["o3", "o4"]
    async with open_mongo_records(compatible_server(), database=database) as records:
        assert await records.count("order") == 0


@forgetful_driver
async def test_transparent_persistence_a_host_whose_database_is_away_boots_and_serves_the_rest(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    (tmp_path / "far.url").write_text("mongodb://anna:s3cret@127.0.0.1:9\n")
    await publish_shop(fleet)
    async with fleet.host(fleet.config(more=SOURCES.format(database="x").replace("= 2", "= 0.2"))) as host:
        await open_shop(host)
        await add(host, "customer", "anna")
        with pytest.raises(Exception, match="does not answer") as caught:
            await add(host, "order", "o")
        assert "s3cret" not in str(caught.value)
    gc.collect()


async def test_many_records_are_imported_and_searched_while_the_host_answers_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_records, "MAX_SORTED_STREAM", 3000)
    fleet = Fleet(tmp_path)
    await publish_shop(fleet)
    async with fleet.host() as host:
        await open_shop(host)
        content = b"".join(b'{"id":"o%d","data":{"total":%d,"other":%d}}\n' % (n, n, n) for n in range(4000))
        report = await asyncio.to_thread(
            host.client.request,
            "POST",
            f"{MODELS}/order/bulk",
            content=content,
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert report.json()["created"] == 4000
        queries: list[dict[str, Any]] = [
            {"other__lt": 0},
            {"total__ge": 3998},
            {"sort": "-total", "limit": 3},
            {"sort": "-other", "limit": 3},
            {"count": "true", "other__lt": 500},
            {"where": json.dumps({"$or": [{"other": n} for n in range(30)]})},
        ]
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(longest_pause())
            await asyncio.sleep(0)
            for query in queries:
                await host.request("GET", f"{MODELS}/order", **query)
            looking.cancel()
        assert pauses.pop() < 0.5
        with pytest.raises(InvalidQueryError, match="sorted for every part"):
            await host.request("GET", f"{MODELS}/order", format="ndjson", sort="other")
        deep: Any = {"other": 1}
        for _ in range(20):
            deep = {"$or": [deep]}
        hostile: list[dict[str, Any]] = [
            {"where": json.dumps(deep)},
            {"where": json.dumps({"$or": [{"other": n} for n in range(100)]})},
            {"cursor": "AAAA" * 100},
            {"include": "buyer.friends.friends.friends"},
        ]
        for query in hostile:
            with pytest.raises((InvalidQueryError, RefusedError, TooLargeError)):
                await host.request("GET", f"{MODELS}/order", **query)


pauses: list[float] = []


async def longest_pause() -> None:
    """Notes the longest that the loop worked without a turn, until cancelled; what other programs take counts not."""
    longest = 0.0
    try:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
    finally:
        pauses.append(longest)
