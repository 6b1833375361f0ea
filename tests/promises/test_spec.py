"""Promises of AEGIS about what a model declares, kept through a real host with guests in C: its mixins
(requireProperties, freezeProperties, validateProperties, updateProperties, hashPasswords, encryptProperties),
"configurable serialization", "dependency injection", "explicit permission", and specifications that are checked.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.crypto.aes_gcm import key_id
from edgehost.cli.main import main
from edgehost.domain.component_file import embed_spec, read_component
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import ConflictError, EdgehostError, InvalidRecordError
from edgehost.domain.events import Event, RecordEvent
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import compiled_file

GUESTS = Path(__file__).parents[1] / "journeys/declared_guests"
ACCOUNTS = "/api/models/account"
PERSON = {
    "id": "ada",
    "first": "Ada",
    "last": "Lovelace",
    "email": "ada@example.org",
    "password": "analytical engine",
    "iban": "DE02120300000000202051",
    "place": "Marylebone",
    "diary": "met Babbage",
    "note": "internal",
    "state": "new",
}


def component(guest: str, **document: Any) -> bytes:
    return embed_spec(
        compiled_file(GUESTS / f"{guest}.c"),
        {"name": guest, "version": "1.0.0", "kind": "model", **document},
    )


def account(version: str = "1.0.0", access: Mapping[str, Any] | None = None) -> bytes:
    return component(
        "account",
        version=version,
        model={
            "domain": "bank",
            "factory": "make",
            "access": dict(access or {}),
            "schema": {"properties": {"name": {"type": "string"}}, "required": ["name", "number"]},
            "properties": {
                "email": {"required": True, "unique": True, "pattern": "email"},
                "password": {"hashed": True, "required": True},
                "iban": {"encrypted": True},
                "number": {"computed": "number", "frozen": True},
                "changed": {"updated": "count"},
                "state": {"transitions": {"new": ["open"], "open": ["closed"]}},
                "reason": {"required": {"field": "state", "values": ["closed"]}},
                "name": {"frozen": {"field": "state", "values": ["open", "closed"]}},
            },
            "serializers": [
                {"on": "network", "key": "note", "action": "omit"},
                {"on": "network", "key": "place", "action": "export", "export": "coarse"},
                {
                    "on": "storage",
                    "key": "diary",
                    "action": "export",
                    "export": "pack",
                    "read_export": "unpack",
                },
            ],
        },
    )


def clerk() -> bytes:
    return component(
        "clerk",
        model={
            "dependencies": {"books": "account"},
            "commands": {"get": {}, "save": {}, "call": {}, "books": {}},
        },
        limits={"deadline_ms": 5000},
        grants={"functions": ["get", "save", "call"], "models": ["account"], "components": ["account"]},
    )


def with_keys(fleet: Fleet, *keys: bytes) -> Any:
    path = fleet.folder / "host.keys"
    path.write_bytes(b"".join(keys))
    path.chmod(0o600)
    return fleet.config(more='[security]\nkey_file = "host.keys"\n')


async def ask(host: RunningHost, command: str, args: object = None, *, of: str = "clerk/c") -> Any:
    path = f"/api/models/{of}/commands/{command}"
    return (await host.request("POST", path, body=args))["result"]  # type: ignore[arg-type]


def is_of_a_record(event: Event) -> bool:
    return isinstance(event, RecordEvent)


async def test_mixins_by_declaration_hold_over_the_api_and_secrets_reach_neither_disk_nor_events(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    key = secrets.token_bytes(32)
    await fleet.publish(account())
    async with fleet.host(with_keys(fleet, key)) as host:
        await host.live("account", "1.0.0")
        bus = host.host.control.manager.bus
        async with bus.subscription(is_of_a_record, backlog=10) as events:
            made = await host.request("POST", ACCOUNTS, body=PERSON)
            told = (await anext(events)).details()
        assert made["data"] == {
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "iban": PERSON["iban"],
            "number": "K-ada",
            "place": "Ma",
            "diary": "met Babbage",
            "state": "new",
        }
        assert told["domain"] == "bank"
        assert told["data"] == {name: value for name, value in made["data"].items() if name != "iban"}
        assert await host.request("GET", f"{ACCOUNTS}/ada") == made
        assert (await host.request("GET", ACCOUNTS))["records"] == [made]
        for guess, verified in ((PERSON["password"], True), ("difference engine", False)):
            assert await ask(host, "verify", {"password": guess}, of="account/ada") == {"verified": verified}
        with pytest.raises(ConflictError, match="email"):
            await host.request("POST", ACCOUNTS, body=PERSON | {"id": "eve"})
        for patch in ({"email": "nobody"}, {"number": "K-1"}, {"state": "closed"}, {"email": None}):
            with pytest.raises(InvalidRecordError):
                await host.request("PATCH", f"{ACCOUNTS}/ada", body=patch)
        changed = await host.request("PATCH", f"{ACCOUNTS}/ada", body={"state": "open", "name": "Ada King"})
        assert (changed["data"]["changed"], changed["data"]["name"]) == (1, "Ada King")
        for patch in ({"name": "Ada"}, {"state": "closed"}):
            with pytest.raises(InvalidRecordError):
                await host.request("PATCH", f"{ACCOUNTS}/ada", body=patch)
        closed = {"state": "closed", "reason": "moved"}
        assert (await host.request("PATCH", f"{ACCOUNTS}/ada", body=closed))["data"]["changed"] == 2
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"Ada King" in written
    assert b"packed met Babbage" in written
    for secret in (PERSON["iban"], PERSON["password"], key.hex()):
        assert secret.encode() not in written
    assert key not in written
    await _lose_the_key(fleet, key)


async def _lose_the_key(fleet: Fleet, key: bytes) -> None:
    newer = secrets.token_bytes(32)
    async with fleet.host(with_keys(fleet, newer)) as host:
        await host.live("account", "1.0.0")
        record = await host.request("GET", f"{ACCOUNTS}/ada")
        assert "iban" not in record["data"]
        assert record["data"]["name"] == "Ada King"
        assert key_id(key) in record["unreadable"]["iban"]
    async with fleet.host(with_keys(fleet, key, newer)) as host:
        await host.live("account", "1.0.0")
        assert (await host.request("GET", f"{ACCOUNTS}/ada"))["data"]["iban"] == PERSON["iban"]


async def test_explicit_permission_nothing_is_allowed_between_components_until_both_say_so(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(account())
    await fleet.publish(clerk())
    wanted = {"model": "account", "id": "ada"}
    verify = {"id": "ada", "args": {"password": PERSON["password"]}}
    async with fleet.host(with_keys(fleet, secrets.token_bytes(32))) as host:
        await host.live("account", "1.0.0")
        await host.live("clerk", "1.0.0")
        await host.request("POST", ACCOUNTS, body=PERSON)
        await host.request("POST", "/api/models/clerk", body={"id": "c"})
        assert await ask(host, "books") == "account"
        call = {"component": "books", "function": "verify", "input": verify}
        for command, args in (("get", wanted), ("save", wanted | {"data": {}}), ("call", call)):
            refused = await ask(host, command, args)
            assert refused["error"]["code"] == "not-granted", refused
            assert "'account' does not let 'clerk'" in refused["error"]["message"]
        await fleet.publish(account("1.1.0", {"read": {"allow": ["clerk"]}, "command": {"allow": ["*"]}}))
        await host.live("account", "1.1.0")
        found = (await ask(host, "get", wanted))["ok"]["data"]
        assert (found["place"], found["note"], found["iban"]) == ("Marylebone", "internal", PERSON["iban"])
        assert "password" not in found
        assert (await ask(host, "call", call))["ok"] == {"result": {"verified": True}}
        assert (await ask(host, "save", wanted | {"data": {}}))["error"]["code"] == "not-granted"
        await fleet.publish(account("1.2.0", {"read": {"allow": ["*"], "deny": ["clerk"]}}))
        await host.live("account", "1.2.0")
        assert (await ask(host, "get", wanted))["error"]["code"] == "not-granted"
        with pytest.raises(EdgehostError):  # a factory may refuse, like every hook
            await host.request("POST", ACCOUNTS, body={"first": "x"})


WRONG = """\
name = "pump"
version = "1.0.0"
kind = "model"
wasm = "pump.wasm"

[model]
schema = {properties = {mail = {type = "string"}}, additionalProperties = false}

[model.properties.mial]
unique = true

[model.properties.mail]
pattern = "emial"

[[model.serializers]]
on = "storage"
key = "mail"
action = "mask"

[model.access.raed]
allow = ["*"]
"""


def test_wrong_specifications_are_refused_with_the_line_and_a_suggestion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "component.toml"
    file.write_text(WRONG)
    (tmp_path / "pump.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert main(["--json", "component", "check", str(tmp_path)]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [(fault["line"], fault["key"]) for fault in faults] == [
        (9, "model.properties.mial"),
        (13, "model.properties.mail.pattern"),
        (18, "model.serializers[0].action"),
        (20, "model.access.raed"),
    ]
    assert [fault["hint"] for fault in faults if fault["hint"]] == [
        "Did you mean 'mail'?",
        "Did you mean 'email'?",
        "Did you mean 'read'?",
    ]
    assert main(["component", "check", str(file)]) == 1
    assert f"{file}:20: model.access.raed is unknown. Did you mean 'read'?" in capsys.readouterr().out
    assert main(["build", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{file}:13: " in error or f"{file}:18: " in error
    file.write_text(WRONG.split("[model.properties.mial]", maxsplit=1)[0])
    assert main(["component", "check", str(file)]) == 0
    assert "no faults" in capsys.readouterr().out
    assert main(["component", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["kind"]["enum"] == ["model", "adapter", "service"]


DECLARED = """\
name = "account"
version = "1.0.0"
kind = "model"
wasm = "account.wasm"

[model]
factory = "make"

[model.properties.number]
computed = "number"
frozen = true

[model.properties.reason]
required = {field = "state", values = ["closed"]}

[model.access.read]
allow = ["clerk"]

[[model.serializers]]
on = "storage"
key = "diary"
action = "export"
export = "pack"
read_export = "unpack"
"""


def test_what_is_declared_is_in_the_component_that_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "component.toml").write_text(DECLARED)
    (tmp_path / "account.wasm").write_bytes(compiled_file(GUESTS / "account.c"))
    assert main(["build", str(tmp_path)]) == 0
    document = tomllib.loads(DECLARED)
    del document["wasm"]
    built = read_component((tmp_path / "account-1.0.0.wasm").read_bytes())
    assert built == read_component_spec(document)
    capsys.readouterr()
    (tmp_path / "component.toml").write_text(DECLARED.replace('"number"', '"nubmer"'))
    assert main(["build", str(tmp_path)]) == 1
    assert "Did you mean 'number'?" in capsys.readouterr().err
