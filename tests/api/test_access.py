"""Who may send requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgehost.api.access import AccessPolicy, read_token_file, require_safe_address
from edgehost.api.app import make_app
from edgehost.api.problems import ForbiddenError
from edgehost.api.server import serving
from edgehost.domain.errors import InvalidConfigError, NotFoundError
from edgehost.domain.events import GuestLogged
from tests.api.scene import NOTES, Kept, problem, served

TOKEN = "x" * 40


class QuietHost:
    """A host that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def status(self) -> Mapping[str, Any]:
        return {"name": "here"}

    async def doctor(self) -> Sequence[Mapping[str, Any]]:
        return [{"subject": "clock", "state": "ok", "what": "It is right.", "advice": ""}]

    async def logs(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        return [{"component": component}]

    async def releases(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        return [{"component": component}]

    async def instances(self) -> Sequence[Mapping[str, Any]]:
        return []

    async def deploy(self, component: str, version: str | None = None) -> Mapping[str, Any]:
        self.asked.append(("deploy", component, version))
        if component == "gone":
            raise NotFoundError("No release of 'gone'.", hint="Publish one.")
        return {"component": component, "version": version}

    async def rollback(self, component: str) -> Mapping[str, Any]:
        self.asked.append(("rollback", component))
        return {"component": component}

    async def unquarantine(self, digest: str) -> Mapping[str, Any]:
        self.asked.append(("unquarantine", digest))
        return {"digest": digest}

    async def refresh(self, remote: str | None = None) -> Mapping[str, Any]:
        self.asked.append(("refresh", remote))
        return {}

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        self.asked.append(("call", component, function))
        return payload[::-1]

    async def stop(self) -> None:
        self.asked.append(("stop",))


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"host": "localhost:1"}, True),
        ({"host": "[::1]:80"}, True),
        ({"host": "pi.local:80"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, True),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, False),
        ({"host": "localhost:1", "origin": "https://localhost:1"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
async def test_a_page_of_another_origin_cannot_use_loopback(headers: dict[str, str], allowed: bool) -> None:
    async with served(NOTES, access=AccessPolicy(allowed_hosts=["Pi.local"])) as scene:
        for method in ("GET", "POST"):
            response = await scene.client.request(method, "/models/notes", headers=headers, json={})
            if allowed:
                assert response.status_code in {200, 201}
            else:
                problem(response, 403, "forbidden")


async def test_with_a_token_every_tcp_request_needs_it() -> None:
    access = AccessPolicy(token=TOKEN)
    async with served(NOTES, access=access, host=QuietHost()) as scene:
        for value in (None, "Bearer wrong", "Basic " + TOKEN, "Bearer", TOKEN, "Bearer " + TOKEN[:-1]):
            headers = {} if value is None else {"authorization": value}
            response = await scene.client.get("/models", headers=headers)
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
        right = {"authorization": "bearer " + TOKEN, "host": "any.example", "origin": "http://any.example"}
        assert (await scene.client.get("/models", headers=right)).status_code == 200
        assert (await scene.client.get("/host/status", headers=right)).json() == {"name": "here"}
    assert TOKEN not in repr(vars(access))


async def test_without_a_token_the_host_is_controlled_over_its_socket_only(tmp_path: Path) -> None:
    host = QuietHost()
    async with served(host=host) as scene:
        for method, path in (("GET", "status"), ("POST", "deploy"), ("POST", "nothing"), ("POST", "stop")):
            problem(await scene.client.request(method, f"/host/{path}"), 403, "forbidden")
    assert host.asked == []
    async with served(host=host, unix_socket=tmp_path / "s") as scene:
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
        assert (await scene.client.get("/host/status")).json() == {"name": "here"}
    assert not (tmp_path / "s").exists()


async def test_the_operators_routes_reach_the_host(tmp_path: Path) -> None:
    host = QuietHost()
    async with served(host=host, unix_socket=tmp_path / "s") as scene:
        client = scene.client
        assert (await client.get("/host/doctor")).json()["findings"][0]["state"] == "ok"
        assert (await client.get("/host/logs")).json() == {"lines": [{"component": None}]}
        assert (await client.get("/host/releases?component=a")).json() == {"releases": [{"component": "a"}]}
        assert (await client.get("/host/instances")).json() == {"instances": []}
        assert (
            await client.post("/host/deploy", json={"component": "a", "version": "1.0.0"})
        ).status_code == 200
        assert (await client.post("/host/deploy", json={"component": "a"})).json()["version"] is None
        assert (await client.post("/host/rollback", json={"component": "a"})).status_code == 200
        assert (await client.post("/host/unquarantine", json={"digest": "0"})).status_code == 200
        assert (await client.post("/host/refresh")).json() == {}
        called = await client.post("/host/call/a/run", content=b"abc")
        assert (called.content, called.headers["content-type"]) == (b"cba", "application/octet-stream")
        assert (await client.post("/host/call/a/run")).content == b""
        assert (await client.post("/host/stop")).status_code == 202
    assert [asked[0] for asked in host.asked] == [
        "deploy", "deploy", "rollback", "unquarantine", "refresh", "call", "call", "stop",
    ]  # fmt: skip


async def test_an_order_with_a_mistake_does_nothing(tmp_path: Path) -> None:
    host = QuietHost()
    async with served(host=host, unix_socket=tmp_path / "s") as scene:
        for order in ({}, {"component": 1}, {"componnent": "a"}, [1]):
            problem(await scene.client.post("/host/deploy", json=order), 400, "refused")
        problem(await scene.client.post("/host/deploy", json={"component": "gone"}), 404, "not-found")
        problem(await scene.client.get("/host/deploy"), 405, "method-not-allowed")
        problem(await scene.client.get("/host/releases?name=x"), 400, "invalid-query")
        for path in ("/host", "/host/", "/host/stats", "/host/status/x", "/host/call/a"):
            problem(await scene.client.get(path), 404, "not-found")
    assert host.asked == [("deploy", "gone", None)]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.2", "not an address"])
async def test_the_network_is_refused_without_a_token(address: str) -> None:
    kept = Kept()
    app = make_app(kept.keeping, kept.models)
    with pytest.raises(InvalidConfigError):
        async with serving(app, address=address, tcp_port=0):
            pytest.fail("it was served")


async def test_with_a_token_the_network_may_be_served() -> None:
    kept = Kept()
    app = make_app(kept.keeping, kept.models, access=AccessPolicy(token=TOKEN))
    async with (
        serving(app, address="0.0.0.0", tcp_port=0) as at,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        url = f"http://127.0.0.1:{at.tcp_port}/api/models"
        problem(await client.get(url), 401, "unauthorized")
        assert (await client.get(url, headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200


def test_loopback_is_safe_in_every_spelling() -> None:
    for address in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        require_safe_address(address, AccessPolicy())


def test_a_token_file_must_be_private_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(InvalidConfigError, match="cannot be read"):
        read_token_file(path)
    path.write_text(TOKEN + "\n")
    path.chmod(0o644)
    with pytest.raises(InvalidConfigError, match="others can"):
        read_token_file(path)
    path.chmod(0o600)
    assert read_token_file(path) == {TOKEN: ()}
    path.write_text(f"# people\n{TOKEN}\n{'n' * 40} nurse doctor\n")
    assert read_token_file(path) == {TOKEN: (), "n" * 40: ("nurse", "doctor")}
    for text in ("short", "é" * 40, "x" * 5000, "a b\tc" * 20):
        path.write_text(text)
        with pytest.raises(InvalidConfigError) as refusal:
            read_token_file(path)
        assert text not in str(refusal.value)


NURSE = "n" * 40
CLERK = "c" * 40
WARD: dict[str, Any] = {
    "name": "ward",
    "version": "1.0.0",
    "kind": "model",
    "model": {
        "commands": {"discharge": {"acl": ["command", "delete"]}},
        "access": {
            "read": {"allow": ["role:nurse", "role:clerk"]},
            "create": {"allow": ["role:nurse"]},
            "delete": {"deny": ["role:clerk"]},
            "command": {"allow": ["role:nurse"], "deny": ["role:trainee"]},
        },
    },
}


async def test_a_token_with_roles_may_do_what_the_model_lets_its_roles() -> None:
    access = AccessPolicy(
        tokens={TOKEN: (), NURSE: ("nurse",), CLERK: ("clerk",), "r" * 40: ("nurse", "trainee")}
    )
    async with served(WARD, access=access) as scene:

        async def ask(token: str, method: str, path: str, body: object = None) -> int:
            headers = {"authorization": f"Bearer {token}"}
            return (await scene.client.request(method, path, json=body, headers=headers)).status_code

        assert await ask(NURSE, "POST", "/models/ward", {"id": "a"}) == 201
        assert await ask(CLERK, "POST", "/models/ward", {"id": "b"}) == 403
        assert await ask(TOKEN, "POST", "/models/ward", {"id": "b"}) == 201  # the operator
        assert await ask(CLERK, "GET", "/models/ward/a") == 200
        assert await ask(CLERK, "PATCH", "/models/ward/a", {"x": 1}) == 200  # no rule asks for a role
        assert await ask(CLERK, "DELETE", "/models/ward/a") == 403
        assert await ask(CLERK, "POST", "/models/ward/a/commands/discharge") == 403
        assert await ask("r" * 40, "POST", "/models/ward/a/commands/discharge") == 403
        assert (
            await ask(NURSE, "POST", "/models/ward/a/commands/discharge") == 404
        )  # allowed; this guest has no export
        assert await ask(NURSE, "DELETE", "/models/ward/a") == 204


async def test_a_token_with_roles_hears_of_what_it_may_read_and_does_not_reach_the_host() -> None:
    access = AccessPolicy(tokens={TOKEN: (), CLERK: ("clerk",)})
    secret = {**WARD, "name": "vault", "model": {"access": {"read": {"allow": ["role:director"]}}}}
    async with served(WARD, secret, access=access) as scene:
        operator, clerk = ({"authorization": f"Bearer {token}"} for token in (TOKEN, CLERK))
        async with scene.client.stream("GET", "/events", headers=clerk) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ": open"
            scene.bus.publish(GuestLogged(at=1.0, component="ward", level="info", message="hello"))
            await scene.client.post("/models/vault", json={"id": "hidden"}, headers=operator)
            await scene.client.post("/models/ward", json={"id": "seen"}, headers=operator)
            async for line in lines:
                assert "hidden" not in line
                assert "hello" not in line
                if line.startswith("data:"):
                    assert "ward/seen" in line
                    break
        assert (await scene.client.get("/models/vault", headers=clerk)).status_code == 403
        assert (await scene.client.get("/host/status", headers=clerk)).status_code in {403, 404}
    with pytest.raises(ForbiddenError, match="does not control"):
        access.require_allowed(
            {"server": ("127.0.0.1", 80), "headers": [(b"authorization", f"Bearer {CLERK}".encode())]},
            control=True,
        )
