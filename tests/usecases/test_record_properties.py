"""What a model declares about its members, through the use cases."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from dataclasses import replace
from typing import Any

import pytest

from edgehost.adapters.crypto.aes_gcm import AesGcmVault, key_id
from edgehost.adapters.crypto.scrypt_hashes import Cost, ScryptHashes
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.errors import (
    ConflictError,
    EdgehostError,
    GuestProtocolError,
    IdempotencyConflictError,
    IncompatibleReleaseError,
    InvalidQueryError,
    InvalidRecordError,
    NotFoundError,
    UnavailableError,
)
from edgehost.domain.events import Event, RecordEvent
from edgehost.domain.record import RevisionClock
from edgehost.domain.record_query import Filter, Operator
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.query_records import make_query
from edgehost.usecases.record_keeping import RecordKeeping, record_document
from edgehost.usecases.run_command import commands_of, run_command
from edgehost.usecases.sealed_records import SealedRecords
from edgehost.usecases.show_record import MASK, show
from edgehost.usecases.update_record import change_record, update_record
from tests.api.scene import NOTES, Kept

OLD_KEY, NEW_KEY = secrets.token_bytes(32), secrets.token_bytes(32)
QUICK = Cost(ln=4, r=8, p=1)


class Guarded(Kept):
    """A store that seals, as a host has one; ``disk`` is what is below."""

    def __init__(self, *keys: bytes, disk: MemoryRecords | None = None) -> None:
        super().__init__()
        self.disk = disk or MemoryRecords()
        self.models = LiveModels(has_keys=bool(keys))
        self.bus = LocalEventBus()
        self.told: list[Event] = []
        vault = AesGcmVault(keys) if keys else None
        self.store = SealedRecords(self.disk, self.models, self.guests, vault)
        self.keeping = RecordKeeping(
            self.store,
            self.bus,
            SystemClock(),
            RevisionClock("here"),
            self.guests,
            hasher=ScryptHashes(QUICK),
        )

    def model(self, **declared: Any) -> LiveModel:
        self.serve(NOTES, **declared)
        return self.models.table.named("notes")

    def answers(self, export: str, answer: Any) -> None:
        async def guest(question: Any, _context: CallContext) -> Any:
            return answer(question) if callable(answer) else answer

        self.guests.functions[("notes", export)] = guest

    async def written(self, record_id: str = "a") -> str:
        """All that the store below got to see of the record."""
        stored = await self.disk.get("notes", record_id)
        assert stored is not None
        return json.dumps(dict(stored.data))


async def create(kept: Kept, model: LiveModel, data: dict[str, Any], record_id: str = "a") -> Any:
    return (await create_record(kept.keeping, model, data, record_id=record_id)).record


PASSWORD = {"password": {"hashed": True, "required": True, "pattern": "[a-z ]{8,}"}}


async def test_a_hashed_member_is_never_shown_and_can_only_be_compared() -> None:
    kept = Guarded()
    model = kept.model(properties=PASSWORD, schema={"properties": {"password": {"maxLength": 40}}})
    made = await create(kept, model, {"password": "correct horse", "name": "ada"})
    assert made.data == {"name": "ada"}
    assert "correct" not in await kept.written()
    assert "$scrypt$ln=4,r=8,p=1$" in await kept.written()
    assert "password" not in json.dumps(record_document(await kept.keeping.require(model, "a")))
    assert commands_of(model.spec) == ("verify",)
    for guess, verified in (("correct horse", True), ("wrong", False), ("", False)):
        outcome = await run_command(kept.keeping, model, "a", "verify", {"password": guess})
        assert outcome.result == {"verified": verified}
    for args in (None, {}, {"name": "ada"}, {"password": 1}, {"password": "x" * 2000}):
        with pytest.raises(InvalidRecordError):
            await run_command(kept.keeping, model, "a", "verify", args)


async def test_a_repeated_request_is_known_without_a_quick_hash_of_its_secrets() -> None:
    kept = Guarded()
    model = kept.model(properties={"pin": {"hashed": True}})
    repeated = []
    for pin in ("1234", "4321"):
        digest = hashlib.sha256(pin.encode()).hexdigest()
        created = await create_record(
            kept.keeping, model, {"pin": pin, "n": 1}, idempotency=Idempotency("k", digest)
        )
        assert created.record.request_digest != digest
        repeated.append(created.repeated)
    assert repeated == [False, True]
    with pytest.raises(IdempotencyConflictError):
        await create_record(kept.keeping, model, {"n": 2}, idempotency=Idempotency("k", "other"))


async def test_a_hash_stays_until_another_value_is_given_and_goes_by_name_only() -> None:
    kept = Guarded()
    model = kept.model(properties={"password": {"hashed": True}})
    first = await create(kept, model, {"password": "one"})
    before = await kept.written()
    assert (await update_record(kept.keeping, model, "a", {"password": "one"})).revision == first.revision
    await update_record(kept.keeping, model, "a", {"name": "ada"})
    await change_record(kept.keeping, model, "a", lambda _: {"name": "eve"})
    assert json.loads(await kept.written())["password"] == json.loads(before)["password"]
    await update_record(kept.keeping, model, "a", {"password": "two"})
    assert (await run_command(kept.keeping, model, "a", "verify", {"password": "two"})).result["verified"]
    stolen = json.loads(await kept.written())["password"]
    await update_record(kept.keeping, model, "a", {"password": stolen})  # is a password like any other
    assert not (await run_command(kept.keeping, model, "a", "verify", {"password": "two"})).result["verified"]
    await update_record(kept.keeping, model, "a", {"password": None})
    assert "password" not in await kept.written()


async def test_a_required_hash_cannot_be_taken_away_and_a_frozen_one_not_be_changed() -> None:
    kept = Guarded()
    model = kept.model(properties={"pin": {"hashed": True, "required": True, "frozen": True}})
    with pytest.raises(InvalidRecordError):
        await create(kept, model, {})
    await create(kept, model, {"pin": "1234"})
    assert (await update_record(kept.keeping, model, "a", {"pin": "1234", "n": 1})).data == {"n": 1}
    for patch in ({"pin": None}, {"pin": "4321"}):
        with pytest.raises(InvalidRecordError):
            await update_record(kept.keeping, model, "a", patch)


async def test_the_schema_is_held_against_the_clear_value_and_not_against_the_hash() -> None:
    kept = Guarded()
    schema = {
        "properties": {"pin": {"type": "string", "maxLength": 4}, "n": {"type": "integer"}},
        "required": ["pin"],
        "additionalProperties": False,
    }
    model = kept.model(properties={"pin": {"hashed": True}}, schema=schema)
    with pytest.raises(InvalidRecordError):
        await create(kept, model, {"pin": "12345"})
    with pytest.raises(InvalidRecordError):
        await create(kept, model, {"n": 1})
    await create(kept, model, {"pin": "1234"})
    assert (await update_record(kept.keeping, model, "a", {"n": 2})).data == {"n": 2}
    with pytest.raises(InvalidRecordError):
        await update_record(kept.keeping, model, "a", {"n": "x"})


SECRET = {"iban": {"encrypted": True}}


async def test_an_encrypted_member_is_clear_above_the_store_only() -> None:
    kept = Guarded(NEW_KEY)
    model = kept.model(properties=SECRET)
    async with kept.bus.subscription(lambda event: isinstance(event, RecordEvent)) as events:
        made = await create(kept, model, {"iban": {"country": "DE", "n": 12345}, "name": "ada"})
        told = await anext(events)
    assert made.data["iban"] == {"country": "DE", "n": 12345}
    assert told.details()["data"] == {"name": "ada"}
    first = await kept.written()
    assert "12345" not in first
    assert f"$aes-256-gcm${key_id(NEW_KEY)}$" in first
    assert (await kept.keeping.require(model, "a")).data == made.data
    await update_record(kept.keeping, model, "a", {"name": "eve"})
    assert (
        json.loads(await kept.written())["iban"] != json.loads(first)["iban"]
    )  # a nonce of its own each time
    for query in (Filter("iban", Operator.EQ, "x"), Filter("iban.n", Operator.GT, 1)):
        with pytest.raises(InvalidQueryError):
            make_query(model, [query])


async def test_a_ciphertext_opens_in_its_own_place_only() -> None:
    kept = Guarded(NEW_KEY)
    model = kept.model(properties=SECRET)
    await create(kept, model, {"iban": "one"}, "a")
    await create(kept, model, {"iban": "two"}, "b")
    stolen, other = await kept.disk.get("notes", "a"), await kept.disk.get("notes", "b")
    assert stolen is not None
    assert other is not None
    await kept.disk.put(replace(other, data=stolen.data))
    moved = await kept.keeping.require(model, "b")
    assert moved.data == {}
    assert "does not open" in moved.unreadable["iban"]


async def test_a_lost_key_is_named_and_the_other_members_stay_readable_and_writable() -> None:
    disk = MemoryRecords()
    then = Guarded(OLD_KEY, disk=disk)
    await create(then, then.model(properties=SECRET), {"iban": "DE12", "name": "ada"})
    now = Guarded(NEW_KEY, disk=disk)
    model = now.model(properties=SECRET, schema={"required": ["iban"]})
    record = await now.keeping.require(model, "a")
    assert record.data == {"name": "ada"}
    assert key_id(OLD_KEY) in record_document(record)["unreadable"]["iban"]
    changed = await update_record(now.keeping, model, "a", {"name": "eve"})
    assert changed.data == {"name": "eve"}
    assert key_id(OLD_KEY) in await now.written()
    both = Guarded(OLD_KEY, NEW_KEY, disk=disk)
    model = both.model(properties=SECRET)
    assert (await both.keeping.require(model, "a")).data == {"iban": "DE12", "name": "eve"}
    await update_record(both.keeping, model, "a", {"name": "zoe"})  # the newest key seals
    assert key_id(NEW_KEY) in await both.written()
    lost = Guarded(NEW_KEY, disk=MemoryRecords())
    model = lost.model(properties=SECRET)
    await create(lost, model, {"iban": "x"})
    assert (await update_record(lost.keeping, model, "a", {"iban": "new"})).data == {"iban": "new"}


async def test_what_was_stored_before_it_was_secret_is_sealed_with_the_next_write() -> None:
    kept = Guarded(NEW_KEY)
    await create(kept, kept.model(), {"iban": "DE12", "pin": "1234"})
    model = kept.model(properties=SECRET | {"pin": {"hashed": True}})
    assert (await kept.keeping.require(model, "a")).data == {"iban": "DE12"}
    await update_record(kept.keeping, model, "a", {"n": 1})
    assert "DE12" not in await kept.written()
    assert "1234" not in json.loads(await kept.written())["pin"][:8]
    assert (await run_command(kept.keeping, model, "a", "verify", {"pin": "1234"})).result["verified"]


async def test_a_host_without_a_key_takes_no_model_that_encrypts() -> None:
    kept = Guarded()
    spec = Guarded(NEW_KEY).serve(NOTES, properties=SECRET)
    with pytest.raises(IncompatibleReleaseError, match="no key"):
        kept.models.require_free(spec)
    with pytest.raises(UnavailableError, match="no key"):
        await create(kept, kept.model(properties=SECRET), {"iban": "x"})


async def test_of_many_writers_of_one_unique_value_exactly_one_succeeds() -> None:
    kept = Guarded()
    model = kept.model(properties={"email": {"unique": True}, "n": {"unique": True}})
    outcomes: list[str] = []

    async def write(number: int) -> None:
        try:
            await create(kept, model, {"email": "ada@example.org", "n": number}, f"r{number}")
            outcomes.append("stored")
        except ConflictError:
            outcomes.append("refused")

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(write(number))
    assert sorted(outcomes) == ["refused"] * 19 + ["stored"]
    assert await kept.store.count("notes") == 1
    assert not len(kept.keeping.locks)


async def test_unique_holds_for_updates_and_lets_go_of_what_is_gone() -> None:
    kept = Guarded()
    model = kept.model(properties={"tag": {"unique": True}})
    await create(kept, model, {"tag": 1}, "a")
    await create(kept, model, {"tag": True}, "b")  # true is not 1
    await create(kept, model, {"tag": None}, "c")
    await create(kept, model, {}, "d")
    await update_record(kept.keeping, model, "a", {"n": 1})
    with pytest.raises(ConflictError):
        await update_record(kept.keeping, model, "b", {"tag": 1.0})
    await update_record(kept.keeping, model, "a", {"tag": 2})
    await update_record(kept.keeping, model, "b", {"tag": 1})
    with pytest.raises(InvalidRecordError):
        await create(kept, model, {"tag": [1]}, "e")


async def test_a_factory_makes_the_data_and_exports_give_members() -> None:
    kept = Guarded()
    schema = {"required": ["total", "number"], "properties": {"total": {"type": "number"}}}
    model = kept.model(
        factory="make",
        schema=schema,
        properties={"number": {"computed": "next"}, "seen": {"updated": "count"}},
    )
    kept.answers("make", lambda asked: {"data": {"total": sum(asked["data"]["prices"])}})
    kept.answers("next", lambda asked: {"value": f"{asked['member']}-{asked['id']}"})
    kept.answers("count", lambda asked: {"value": asked["previous"].get("seen", 0) + 1})
    made = await create(kept, model, {"prices": [1, 2]})
    assert made.data == {"total": 3, "number": "number-a"}
    changed = await update_record(kept.keeping, model, "a", {"total": 4})
    assert changed.data == {"total": 4, "number": "number-a", "seen": 1}
    assert await update_record(kept.keeping, model, "a", {"total": 4}) == changed  # no change, no update
    kept.answers("count", {"value": "x", "more": 1})
    with pytest.raises(GuestProtocolError):
        await update_record(kept.keeping, model, "a", {"total": 5})
    kept.answers("make", {"data": []})
    with pytest.raises(EdgehostError):
        await create(kept, model, {}, "b")


async def test_a_guest_that_breaks_a_rule_of_its_model_is_to_blame() -> None:
    kept = Guarded()
    model = kept.model(
        validate="check",
        commands={"ship": {}, "off": {"enabled": False}},
        properties={"state": {"transitions": {"new": ["sold"]}}, "mail": {"pattern": "email"}},
    )
    kept.answers("check", lambda asked: {"data": asked["data"]})
    await create(kept, model, {"state": "new"})
    kept.answers("ship", {"data": {"state": "lost"}, "result": 1})
    with pytest.raises(GuestProtocolError, match="cannot become"):
        await run_command(kept.keeping, model, "a", "ship", None)
    with pytest.raises(InvalidRecordError, match="cannot become"):
        await update_record(kept.keeping, model, "a", {"state": "lost"})
    kept.answers("check", {"data": {"mail": "nowhere"}})
    with pytest.raises(GuestProtocolError, match="email"):
        await create(kept, model, {}, "b")
    with pytest.raises(NotFoundError):
        await run_command(kept.keeping, model, "a", "off", None)


SERIALIZERS = [
    {"on": "network", "key": "inner", "action": "omit"},
    {"on": "network", "key": "card", "action": "mask"},
    {"on": "network", "key": "place", "action": "export", "export": "coarse"},
    {"on": "storage", "key": "track", "action": "export", "export": "pack", "read_export": "unpack"},
]


async def test_serializers_hold_for_the_network_and_for_the_store_by_destination() -> None:
    kept = Guarded()
    model = kept.model(serializers=SERIALIZERS, domain="fleet")
    kept.answers("coarse", lambda asked: {"values": [round(value) for value in asked["values"]]})
    kept.answers("pack", lambda asked: {"values": [",".join(map(str, each)) for each in asked["values"]]})
    kept.answers(
        "unpack", lambda asked: {"values": [list(map(int, each.split(","))) for each in asked["values"]]}
    )
    data = {"inner": 1, "card": "4111", "place": 52.51, "track": [1, 2], "open": True}
    async with kept.bus.subscription(lambda event: isinstance(event, RecordEvent)) as events:
        made = await create(kept, model, data)
        told = (await anext(events)).details()
    assert made.data == data
    shown = {"card": MASK, "place": 53, "track": [1, 2], "open": True}
    assert (await show(kept.keeping, model, made)).data == shown
    assert told["data"] == shown
    assert told["domain"] == "fleet"
    assert json.loads(await kept.written())["track"] == "1,2"
    assert (await kept.keeping.require(model, "a")).data == data
    kept.answers("coarse", {"values": []})
    with pytest.raises(GuestProtocolError):
        await show(kept.keeping, model, made)
    async with kept.bus.subscription(lambda event: isinstance(event, RecordEvent)) as events:
        await update_record(kept.keeping, model, "a", {"open": False})
        assert "place" not in (await anext(events)).details()["data"]  # it is stored, so it is told


async def test_many_records_are_opened_with_few_calls_of_the_guest() -> None:
    kept = Guarded()
    model = kept.model(serializers=SERIALIZERS[3:])
    kept.answers("pack", lambda asked: {"values": [str(each) for each in asked["values"]]})
    kept.answers("unpack", lambda asked: {"values": [int(each) for each in asked["values"]]})
    for number in range(130):
        await create(kept, model, {"track": number}, f"r{number}")
    kept.guests.calls.clear()
    page = await kept.store.find(make_query(model, limit=200))
    assert [record.data["track"] for record in page.records] == list(range(130))
    assert len(kept.guests.calls) == 3
    assert [record.data["track"] async for record in kept.store.scan("notes")] == list(range(130))
