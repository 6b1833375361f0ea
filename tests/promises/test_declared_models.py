"""Promises of AEGIS about what a model declares, kept through a real host: "configurable serialization for network and
storage I/O" and "dependency/control inversion (IoC)".
"""

from __future__ import annotations

import secrets
from pathlib import Path

from tests.journeys.fleet import Fleet
from tests.promises.test_spec import ACCOUNTS, PERSON, account, ask, clerk, with_keys


async def test_configurable_serialization_members_leave_for_network_and_storage_as_declared(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(account())
    async with fleet.host(with_keys(fleet, secrets.token_bytes(32))) as host:
        await host.live("account", "1.0.0")
        shown = (await host.request("POST", ACCOUNTS, body=PERSON))["data"]
        assert "note" not in shown  # omitted on the network
        assert (shown["place"], shown["diary"]) == (
            "Ma",
            "met Babbage",
        )  # coarser there; unpacked from storage
    stored = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert b"Marylebone" in stored
    assert b"internal" in stored
    assert b"packed met Babbage" in stored


async def test_dependency_inversion_the_guest_names_a_role_and_the_host_says_who_plays_it(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(clerk())
    for more, who in (
        ("", "account"),
        ('[components.clerk.config]\n"dependency.books" = "ledger"\n', "ledger"),
    ):
        async with fleet.host(fleet.config(more=more)) as host:
            await host.live("clerk", "1.0.0")
            await host.request("POST", "/api/models/clerk", {"id": f"for-{who}"})
            assert await ask(host, "books", of=f"clerk/for-{who}") == who
