"""Pages and filters, read by the model's schema."""

from __future__ import annotations

from tests.api.scene import NOTES, TELEMETRY, Scene, problem, served


async def fill(scene: Scene) -> None:
    for number in range(6):
        response = await scene.client.post(
            "/models/readings",
            json={
                "id": f"r{number}",
                "sensor": f"s{number % 2}",
                "celsius": number * 1.5,
                "count": number,
                "ok": number > 3,
                "place": {"room": "attic" if number else "cellar"},
            },
        )
        assert response.status_code == 201


COMPARED = [
    ("sensor=s0", "r0 r2 r4"),
    ("sensor__ne=s0", "r1 r3 r5"),
    ("celsius__ge=6", "r4 r5"),
    ("celsius__gt=6.0&count__le=5", "r5"),
    ("celsius__lt=1e0", "r0"),
    ("count=3", "r3"),
    ("count__eq=3", "r3"),
    ("ok=true", "r4 r5"),
    ("ok__ne=true", "r0 r1 r2 r3"),
    ("place.room=cellar", "r0"),
    ("place.room__prefix=at&limit=2", "r1 r2"),
    ("id__ge=r4", "r4 r5"),
    ("order=desc&limit=2", "r5 r4"),
    ("created_at__gt=0&limit=1", "r0"),
    ("sensor=", ""),
]


async def test_filters_compare_by_type() -> None:
    async with served(TELEMETRY) as scene:
        await fill(scene)
        for query, ids in COMPARED:
            response = await scene.client.get(f"/models/readings?{query}")
            assert [record["id"] for record in response.json()["records"]] == ids.split(), query


MISTAKEN = [
    "celsius=warm",
    "celsius=true",
    "ok=1",
    "ok=yes",
    "ok__lt=true",
    "count__prefix=1",
    "tags=a",
    "nothing=1",
    "place=1",
    "limit=0",
    "limit=1001",
    "limit=-1",
    "limit=x",
    "limit=1&limit=2",
    "limit=%D9%A3",
    "order=up",
    "cursor=nonsense",
    "cursor=" + "x" * 600,
    "sensor=%FF",
    "&".join(f"sensor=s{number}" for number in range(17)),
    "&".join(f"sensor=s{number}" for number in range(40)),
    "x" * 300 + "=1",
    "=1",
]


async def test_a_mistaken_query_is_refused() -> None:
    async with served(TELEMETRY) as scene:
        for query in MISTAKEN:
            problem(await scene.client.get(f"/models/readings?{query}"), 400, "invalid-query")


async def test_a_mistaken_field_gets_a_suggestion() -> None:
    async with served(TELEMETRY) as scene:
        document = problem(await scene.client.get("/models/readings?celcius=1"), 400, "invalid-query")
        assert document["hint"] == "Did you mean 'celsius'?"


async def test_an_unknown_operator_is_refused_and_the_known_ones_are_named() -> None:
    async with served(NOTES) as scene:
        for query in ("name__like=x", "a__b__c=1", 'where={"name__like":"x"}'):
            document = problem(await scene.client.get(f"/models/notes?{query}"), 400, "invalid-query")
            assert "contains, eq, exists" in document["hint"], query


async def test_a_declared_field_may_have_the_separator_in_its_name() -> None:
    model = {"schema": {"type": "object", "properties": {"a__b": {"type": "number"}}}}
    async with served({**NOTES, "model": model}) as scene:
        await scene.client.post("/models/notes", json={"a__b": 1})
        for query in ("a__b=1", "a__b__eq=1", "a__b__ge=1"):
            found = (await scene.client.get(f"/models/notes?{query}")).json()["records"]
            assert len(found) == 1, query


GUESSED = [
    ("n=42", True),
    ('n="42"', False),
    ("t=42", False),
    ('t="42"', True),
    ("t=forty", False),
    ("b=true", True),
    ("z=null", True),
    ("n=[1]", False),
    ("limit__eq=7", True),
]


async def test_without_a_schema_a_value_is_what_it_looks_like() -> None:
    async with served(NOTES) as scene:
        await scene.client.post("/models/notes", json={"n": 42, "t": "42", "b": True, "z": None, "limit": 7})
        for query, found in GUESSED:
            response = await scene.client.get(f"/models/notes?{query}")
            assert len(response.json()["records"]) == found, query


async def test_pages_hold_every_record_once_and_link_to_the_next() -> None:
    async with served(TELEMETRY) as scene:
        await fill(scene)
        seen: list[str] = []
        url = "/models/readings?limit=4&sensor__prefix=s"
        while url:
            response = await scene.client.get(url)
            page = response.json()
            seen += [record["id"] for record in page["records"]]
            link = response.headers.get("link", "")
            assert bool(link) == bool(page["next_cursor"])
            assert not link or link.endswith('; rel="next"')
            url = f"http://127.0.0.1:{scene.at.tcp_port}{link[1:].partition('>')[0]}" if link else ""
        assert seen == [f"r{number}" for number in range(6)]
