"""What ``doctor`` finds out about a CoAP server, on the way that a host will go."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgehost.cli.coap_check import check_coap
from edgehost.cli.finding import Finding, State
from edgehost.config_coap import CoapCarrier
from remotes.coap_options import CoapServing
from remotes.coap_oscore import OscoreClient, make_contexts
from remotes.coap_server import open_coap_server
from remotes.served_repository import open_served_folder


async def checked(folder: Path, serving: CoapServing, name: str, oscore: Path | None = None) -> Finding:
    """What a server over the folder, which it calls "fleet", looks like."""
    async with open_served_folder(folder) as served, open_coap_server({"fleet": served}, serving) as where:
        port = int(where.tcp.rpartition(":")[2])
        carrier = CoapCarrier("127.0.0.1", port=port, oscore_folder=oscore)
        return await asyncio.to_thread(check_coap, "remote fleet", name, carrier)


def repository(folder: Path) -> Path:
    (folder / "metadata").mkdir()
    (folder / "metadata/timestamp.json").write_bytes(b"{}")
    return folder


async def test_a_repository_is_found_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    serving = CoapServing(port=0)
    good = await checked(repository(tmp_path), serving, "fleet")
    assert good.state is State.GOOD
    assert "/remote/fleet holds a repository" in good.what
    wrong = await checked(tmp_path, serving, "other")
    assert wrong.state is State.WRONG
    assert "/remote/other holds no repository" in wrong.what


async def test_a_lack_of_credentials_is_told_and_a_context_in_use_is_no_fault(tmp_path: Path) -> None:
    make_contexts(tmp_path / "server", "gw", tmp_path / "gw")
    serving = CoapServing(port=0, oscore_folder=tmp_path / "server")
    refused = await checked(repository(tmp_path), serving, "fleet")
    assert refused.state is State.WRONG
    assert "4.01" in refused.what
    assert (await checked(tmp_path, serving, "fleet", tmp_path / "gw")).state is State.GOOD
    host = OscoreClient(tmp_path / "gw")
    in_use = await checked(tmp_path, serving, "fleet", tmp_path / "gw")
    assert in_use.state is State.NOTE
    assert "in use" in in_use.what
    host.close()


def test_nobody_there_is_told() -> None:
    finding = check_coap("remote fleet", "fleet", CoapCarrier("127.0.0.1", port=9))
    assert finding.state is State.WRONG
    assert "127.0.0.1:9" in finding.what
