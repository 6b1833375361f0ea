"""Relations are followed, created across and included, when both components agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgehost.domain.component_spec import Grants
from edgehost.domain.errors import (
    ConflictError,
    EdgehostError,
    GuestProtocolError,
    InvalidQueryError,
    InvalidRecordError,
    NotFoundError,
    NotGrantedError,
    RefusedError,
    TooLargeError,
)
from edgehost.domain.record import Record
from edgehost.domain.record_query import MAX_VALUES
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.create_record import create_record
from edgehost.usecases.find_instance import ObjectBroker
from edgehost.usecases.follow_relation import Relations, create_related, follow_relation
from edgehost.usecases.include_relations import include_relations, read_include
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.related_function import related_function
from tests.api.scene import Kept

RELATIONS: dict[str, dict[str, Any]] = {
    "orders": {"model": "order", "type": "one_to_many", "foreign_key": "customer"},
    "home": {"model": "address", "type": "one_to_one", "foreign_key": "address.id"},
    "friends": {"model": "customer", "type": "many_to_many", "foreign_key": "friends"},
    "big-orders": {"model": "order", "type": "custom", "export": "big"},
    "elsewhere": {"model": "far", "type": "many_to_one", "foreign_key": "far"},
}
ORDER_RELATIONS: dict[str, dict[str, Any]] = {
    "buyer": {"model": "customer", "type": "many_to_one", "foreign_key": "customer"},
    "items": {
        "model": "product",
        "type": "contains_many",
        "foreign_key": "sku",
        "array_key": "lines",
        "key": "sku",
    },
}
FRIENDLY = {"relation": {"allow": ["customers", "orders"]}}


def component(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0.0",
        "kind": "model",
        "model": {"name": model, "endpoint": model, **more},
    }


class Shop:
    """Customers, their orders, products and addresses: each a component of its own."""

    def __init__(self, access: Mapping[str, Any] = FRIENDLY, models: tuple[str, ...] | None = None) -> None:
        self.kept = Kept()
        grants = ("customer", "order", "address", "product", "far") if models is None else models
        documents = [
            component("customers", "customer", relations=RELATIONS, access=access),
            component("orders", "order", relations=ORDER_RELATIONS, access=access),
            component("addresses", "address", access=access),
            component("products", "product", access=access),
        ]
        for document in documents:
            self.kept.serve(document)
        keeping = self.kept.keeping
        self.elsewhere: dict[str, Record] = {}
        self.relations = Relations(
            keeping,
            self.kept.models,
            ObjectBroker(keeping.store, self.kept.models, self),
            lambda _: Grants(functions=("related",), models=grants),
        )

    async def find(self, model: str, record_id: str) -> Record | None:
        return self.elsewhere.get(record_id)

    def model(self, name: str) -> LiveModel:
        return self.kept.models.table.named(name)

    async def add(self, model: str, record_id: str, **data: Any) -> Record:
        made = await create_record(self.kept.keeping, self.model(model), data, record_id=record_id)
        return made.record

    async def get(self, model: str, record_id: str) -> Record:
        return await self.kept.keeping.require(self.model(model), record_id)

    async def follow(self, record: Record, name: str, **options: Any) -> list[str]:
        found = await follow_relation(self.relations, self.model(record.model), record, name, **options)
        return [each.id for each in found.records]


async def test_one_to_many_and_back() -> None:
    shop = Shop()
    anna, otto = await shop.add("customer", "anna"), await shop.add("customer", "otto")
    for n in range(5):
        await shop.add("order", f"o{n}", customer="anna" if n % 2 else "otto")
    assert await shop.follow(anna, "orders") == ["o1", "o3"]
    assert await shop.follow(otto, "orders", limit=2) == ["o0", "o2"]
    page = await follow_relation(shop.relations, shop.model("customer"), otto, "orders", limit=2)
    assert await shop.follow(otto, "orders", cursor=page.next_cursor) == ["o4"]
    assert await shop.follow(await shop.get("order", "o3"), "buyer") == ["anna"]
    stray = await shop.add("order", "stray", customer="nobody")
    assert await shop.follow(stray, "buyer") == []
    assert await shop.follow(await shop.add("order", "none"), "buyer") == []


async def test_many_to_many_contains_many_and_one_to_one() -> None:
    shop = Shop()
    for sku in ("p1", "p2", "p3"):
        await shop.add("product", f"product-{sku}", sku=sku)
    order = await shop.add(
        "order", "o", lines=[{"sku": "p3"}, {"sku": "p1"}, {"no": 1}, "odd", {"sku": None}]
    )
    assert await shop.follow(order, "items") == ["product-p1", "product-p3"]
    await shop.add("address", "attic")
    anna = await shop.add(
        "customer", "anna", friends=["otto", "anna", 7, "../x", "otto"], address={"id": "attic"}
    )
    await shop.add("customer", "otto", friends="no list")
    assert await shop.follow(anna, "friends") == ["anna", "otto"]
    assert await shop.follow(anna, "home") == ["attic"]
    assert await shop.follow(await shop.get("customer", "otto"), "friends") == []


async def test_a_custom_relation_asks_its_export_for_a_filter() -> None:
    shop = Shop()
    anna = await shop.add("customer", "anna")
    for n in range(4):
        await shop.add("order", f"o{n}", customer="anna", total=n)

    async def big(question: Any, _context: CallContext) -> Any:
        assert (question["relation"], question["id"]) == ("big-orders", "anna")
        return {"filters": {"customer": question["id"], "$or": [{"total__ge": 3}, {"total": 0}]}}

    shop.kept.guests.functions["customers", "big"] = big
    assert await shop.follow(anna, "big-orders") == ["o0", "o3"]

    async def none(_question: Any, _context: CallContext) -> Any:
        return {}

    shop.kept.guests.functions["customers", "big"] = none
    assert await shop.follow(anna, "big-orders") == []

    async def odd(_question: Any, _context: CallContext) -> Any:
        return {"filters": {"$nor": []}}

    shop.kept.guests.functions["customers", "big"] = odd
    with pytest.raises(GuestProtocolError):
        await shop.follow(anna, "big-orders")
    assert shop.kept.guests.blamed == ["customers"]
    with pytest.raises(RefusedError, match="custom"):
        await create_related(shop.relations, shop.model("customer"), anna, "big-orders", {})


async def create(shop: Shop, record: Record, name: str, /, **data: Any) -> Record:
    return await create_related(shop.relations, shop.model(record.model), record, name, data)


async def test_records_are_created_across_every_kind_of_relation() -> None:
    shop = Shop()
    anna = await shop.add("customer", "anna", friends=["x"])
    order = await create(shop, anna, "orders", total=5)
    assert order.data == {"total": 5, "customer": "anna"}
    home = await create(shop, anna, "home", street="Hill")
    friend = await create(shop, anna, "friends", name="Otto")
    anna = await shop.get("customer", "anna")
    assert anna.data == {"friends": ["x", friend.id], "address": {"id": home.id}}
    assert await shop.follow(anna, "home") == [home.id]
    item = await create(shop, order, "items", sku="p9")
    order = await shop.get("order", order.id)
    assert order.data["lines"] == [{"sku": "p9"}]
    assert await shop.follow(order, "items") == [item.id]


async def test_a_relation_to_one_has_room_for_one() -> None:
    shop = Shop()
    anna = await shop.add("customer", "anna")
    home = await create(shop, anna, "home")
    with pytest.raises(ConflictError):
        await create(shop, await shop.get("customer", "anna"), "home")
    with pytest.raises(ConflictError, match="meantime"):
        await create(shop, anna, "home")  # as it was read before the first was made
    assert [record.id async for record in shop.kept.store.scan("address")] == [home.id]
    await shop.kept.store.delete("address", home.id)
    again = await create(shop, await shop.get("customer", "anna"), "home")
    assert await shop.follow(await shop.get("customer", "anna"), "home") == [again.id]


async def test_nothing_stays_behind_when_the_reference_cannot_be_written() -> None:
    shop = Shop()
    order = await shop.add("order", "o")
    with pytest.raises(InvalidRecordError, match="sku"):
        await create(shop, order, "items", name="no sku")
    await shop.kept.store.delete("order", "o")
    with pytest.raises(NotFoundError):
        await create(shop, order, "items", sku="p1")
    assert await shop.kept.store.count("product") == 0
    anna = await shop.add("customer", "anna")
    with pytest.raises(InvalidRecordError, match="another"):
        await create(shop, anna, "orders", customer="otto")


@pytest.mark.parametrize(
    ("access", "models"),
    [
        ({}, None),
        (FRIENDLY, ()),
        ({"relation": {"allow": ["customers"], "deny": ["customers"]}}, None),
        ({"relation": {"allow": ["*"], "deny": ["customers"]}}, None),
        ({"read": {"allow": ["*"]}}, None),
    ],
    ids=["no rule", "no grant", "denied", "denied among all", "another permission"],
)
async def test_without_the_consent_of_both_nothing_is_read_or_created(
    access: dict[str, Any], models: tuple[str, ...] | None
) -> None:
    shop = Shop(access, models)
    anna = await shop.add("customer", "anna")
    await shop.add("order", "o", customer="anna")
    for name in ("orders", "home", "big-orders"):
        with pytest.raises(NotGrantedError):
            await shop.follow(anna, name)
        with pytest.raises(NotGrantedError):
            await create(shop, anna, name)
    assert await shop.follow(anna, "friends") == []  # its own model
    with pytest.raises(NotGrantedError):
        await include_relations(
            shop.relations, shop.model("customer"), [anna], read_include(shop.model("customer"), "orders")
        )


async def test_a_record_of_another_host_is_found_through_the_broker() -> None:
    shop = Shop()
    shop.elsewhere["f1"] = Record("far", "f1", {"x": 1}, "r", 1.0, 1.0)
    assert await shop.follow(await shop.add("customer", "a", far="f1"), "elsewhere") == ["f1"]
    assert await shop.follow(await shop.add("customer", "b", far="f2"), "elsewhere") == []
    assert await shop.follow(await shop.add("customer", "c", far="../f1"), "elsewhere") == []
    assert await shop.follow(await shop.add("customer", "d"), "elsewhere") == []


async def test_a_list_that_names_too_many_is_refused() -> None:
    shop = Shop()
    anna = await shop.add("customer", "anna", friends=[f"c{n}" for n in range(MAX_VALUES + 1)])
    with pytest.raises(InvalidQueryError, match="followed"):
        await shop.follow(anna, "friends")


async def test_relations_are_included_some_steps_deep_and_circles_end() -> None:
    shop = Shop()
    anna = await shop.add("customer", "anna", friends=["otto"])
    await shop.add("customer", "otto", friends=["anna"])
    await shop.add("order", "o", customer="anna", lines=[{"sku": "p"}])
    await shop.add("product", "p", sku="p")
    model = shop.model("customer")
    include = read_include(model, "orders.items, friends.friends.friends, home")
    (document,) = await include_relations(shop.relations, model, [anna], include)
    assert document["related"]["home"] is None
    (order,) = document["related"]["orders"]
    assert [item["id"] for item in order["related"]["items"]] == ["p"]
    (otto,) = document["related"]["friends"]
    (again,) = otto["related"]["friends"]
    assert again["related"]["friends"][0]["id"] == "otto"
    for text in ("friends.friends.friends.friends", ",".join(["friends"] * 17), "a." * 1000):
        with pytest.raises(InvalidQueryError):
            read_include(model, text)
    with pytest.raises(NotFoundError, match="Did you mean"):
        read_include(model, "freinds")


async def test_an_include_that_explodes_is_refused() -> None:
    shop = Shop()
    ids = [f"c{n}" for n in range(40)]
    for each in ids:
        await shop.add("customer", each, friends=ids)
    model = shop.model("customer")
    with pytest.raises(TooLargeError):
        await include_relations(
            shop.relations, model, [await shop.get("customer", "c0")], read_include(model, "friends.friends")
        )


async def ask(shop: Shop, component_name: str, **request: Any) -> Any:
    related = related_function(shop.relations)["related"]
    return await related(
        component_name, CallContext((component_name,)), SpecReader(request, error=RefusedError)
    )


async def test_guests_follow_and_create_across_relations_of_their_own_model() -> None:
    shop = Shop()
    await shop.add("customer", "anna")
    made = await ask(shop, "customers", id="anna", relation="orders", create={"total": 1})
    found = await ask(shop, "customers", model="customer", id="anna", relation="orders", limit=10)
    assert found == {"model": "order", "records": [made["record"]], "next_cursor": ""}
    for request in (
        {"model": "order", "id": made["record"]["id"], "relation": "buyer"},
        {"id": "anna", "relation": "nothing"},
        {"id": "nobody", "relation": "orders"},
        {"id": "anna", "relation": "orders", "limit": 0},
        {"id": "anna", "relation": "orders", "typo": 1},
        {"id": "anna", "relation": "orders", "create": 7},
    ):
        with pytest.raises(EdgehostError):
            await ask(shop, "customers", **request)
    with pytest.raises(NotFoundError):
        await ask(shop, "somebody", id="anna", relation="orders")
