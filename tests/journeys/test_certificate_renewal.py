"""A host whose certificate for the broker is renewed by EST: mosquitto, with require_certificate, takes the new one."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.main import main
from tests.adapters.certificates.est_server import EstServer, est_server
from tests.adapters.certificates.openssl_ca import OpensslCA, same_key, verified
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.required_tools import require_tool

CONFIG = """
[fleet]
name = "yard"
host = "127.0.0.1"
tcp_port = {broker}
tls = true
ca_file = "ca/ca.crt"
cert_file = "gate.crt"
key_file = "gate.key"
measure_s = 3600

[[certificates]]
name = "broker"
cert_file = "gate.crt"
key_file = "gate.key"
url = "https://127.0.0.1:{est}"
ca_file = "ca/ca.crt"
username = "gate"
password_file = "est.password"
issuer_file = "issuers.crt"
"""
SECRET = "correct horse"


class Site:
    """An authority, an EST server, a broker that wants certificates of the authority, and a host."""

    def __init__(self, folder: Path, ca: OpensslCA, est: EstServer, broker_port: int) -> None:
        self.folder, self.ca, self.est, self.broker_port = folder, ca, est, broker_port
        self.fleet = Fleet(folder)
        (folder / "est.password").write_text(f"{SECRET}\n")
        (folder / "est.password").chmod(0o600)
        (folder / "issuers.crt").write_bytes(ca.cert_file.read_bytes())

    def write_config(self, more: str = "") -> Any:
        return self.fleet.config(more=CONFIG.format(broker=self.broker_port, est=self.est.tcp_port) + more)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[RunningHost]:
        async with self.fleet.host(self.write_config()) as host:
            yield host

    def links(self) -> int:
        """How many connections the broker has taken so far."""
        return (self.folder / "broker" / "broker.log").read_text().count("New client connected")

    def shown(self) -> bytes:
        """The certificate in use."""
        return (self.folder / "gate.crt").read_bytes()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    ca = OpensslCA(folder / "ca")
    (folder / "broker").mkdir()
    cert_file, key_file = ca.pair(folder / "broker", "broker")
    tls = (
        f"cafile {ca.cert_file}\ncertfile {cert_file}\nkeyfile {key_file}\n"
        "require_certificate true\nuse_identity_as_username true\nallow_anonymous false"
    )
    require_tool("mosquitto")
    async with (
        est_server(folder / "est", ca) as est,
        open_broker(kind="mosquitto", folder=folder / "broker", extra_config=tls) as broker,
    ):
        yield Site(folder, ca, est, broker.tcp_port)


def finding(host: RunningHost, check: str) -> dict[str, Any]:
    """What the host says of one thing."""
    found = [dict(one) for each in host.host.control.more_findings for one in each()]
    return next((each for each in found if each["check"] == check), {"state": "", "detail": ""})


def state(host: RunningHost) -> str:
    return str(finding(host, "certificate broker")["state"])


def connected(host: RunningHost) -> bool:
    return str(finding(host, "fleet")["state"]) == "ok"


async def until(holds: Any, timeout_s: float = 40) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_a_renewed_certificate_is_taken_by_the_broker_and_the_connection_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site(tmp_path) as it:
        it.ca.pair(tmp_path, "gate", begins=-80, days=20)  # two thirds are over: it is due at once
        old = it.shown()
        await it.fleet.publish(telemetry("1.0.0"))
        status = await _watched(it, "status")
        async with it.host() as host:
            await until(lambda: it.shown() != old and connected(host))
            await until(lambda: state(host) == "ok")
            await host.live("telemetry", "1.0.0")
            assert [each.operation for each in it.est.asked] == ["cacerts", "simplereenroll"]
            assert it.est.asked[-1].subject == "commonName=gate"
            assert verified(tmp_path / "gate.crt", it.ca.cert_file)
            assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")
            # Once more, by the command line of an operator: the link that stands goes over to the new certificate.
            before, serial = it.links(), it.shown()
            code = await asyncio.to_thread(_command, tmp_path, "certificates", "renew", "broker")
            assert code == 0
            assert it.shown() != serial
            await until(lambda: it.links() >= before + 2)  # the trial, and the fleet's own
            await until(lambda: connected(host))
            assert await asyncio.to_thread(_command, tmp_path, "certificates", "ls") == 0
            assert "CN=gate" in capsys.readouterr().out
        said = [each async for each in _until_stopped(status)]
        assert [each for each in said if each["status"] == "offline"] == said[
            -1:
        ]  # no will when a link is made anew
        assert SECRET not in (tmp_path / "broker" / "broker.log").read_text()


def _command(folder: Path, *words: str) -> int:
    return main(["-c", str(folder / "edgehost.toml"), *words])


@pytest.mark.timeout(180)
async def test_what_the_broker_refuses_gives_way_to_the_last_good_one_and_the_fleet_sees_an_alarm(
    tmp_path: Path,
) -> None:
    """The authority behind EST is another one all at once: the broker does not know it."""
    async with site(tmp_path) as it:
        it.ca.pair(tmp_path, "gate", begins=-80, days=20)
        old = it.shown()
        stranger = OpensslCA(tmp_path / "stranger", "a stranger")
        it.est.ca = stranger
        (tmp_path / "issuers.crt").write_bytes(it.ca.cert_file.read_bytes() + stranger.cert_file.read_bytes())
        watch = await _watched(it, "a/certificate-broker")
        try:
            async with it.host() as host:
                await until(lambda: state(host) == "failed" and connected(host))
                assert it.shown() == old
                assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")
                assert "refuses the new certificate" in finding(host, "certificate broker")["detail"]
                assert watch.stdout is not None
                async with asyncio.timeout(40):
                    alarm = json.loads(await watch.stdout.readline())
                assert "refuses the new certificate" in alarm["text"]
                assert len(stranger.issued) == 1
        finally:
            watch.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
            await watch.communicate()  # to its end, or the pipe stays open


async def _until_stopped(watch: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """What the host said of itself, up to its farewell."""
    assert watch.stdout is not None
    try:
        async with asyncio.timeout(40):
            async for line in watch.stdout:
                yield json.loads(line)
                if b"stopped" in line:
                    return
    finally:
        watch.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
        await watch.communicate()  # to its end, or the pipe stays open


async def _watched(it: Site, below: str) -> asyncio.subprocess.Process:
    cert_file, key_file = await asyncio.to_thread(it.ca.pair, it.folder / "broker", "monitor")
    return await asyncio.create_subprocess_exec(
        require_tool("mosquitto_sub"),
        *("-h", "127.0.0.1", "-p", str(it.broker_port), "--cafile", it.ca.cert_file),
        *("--cert", cert_file, "--key", key_file, "-t", f"edgehost/yard/journey/{below}"),
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.timeout(180)
async def test_after_long_absence_the_host_serves_and_is_back_by_its_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Off for 400 days: the certificate ended, the authority is away at first, and then asks for a password."""
    async with site(tmp_path) as it:
        it.ca.pair(tmp_path, "gate", begins=-400, days=-310)
        await it.fleet.publish(telemetry("1.0.0"))
        it.est.password = "not yet"
        async with it.host() as host:
            await host.live("telemetry", "1.0.0")
            await until(lambda: "refuses simpleenroll" in finding(host, "certificate broker")["detail"])
            assert not connected(host)
            assert "ended on" in finding(host, "certificate broker")["detail"]
            reading = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
            assert await host.request("POST", "/api/models/telemetry", body=reading)
            assert await asyncio.to_thread(_command, tmp_path, "certificates", "ls") == 1
            assert await asyncio.to_thread(_command, tmp_path, "certificates", "renew", "broker") == 1
            assert await asyncio.to_thread(_command, tmp_path, "certificates", "renew", "brocker") == 5
            before = len(it.est.asked)
            assert (
                await asyncio.to_thread(_command, tmp_path, "certificates", "renew", "broker", "--dry-run")
                == 0
            )
            assert [each.operation for each in it.est.asked[before:]] == ["cacerts", "cacerts"]
            it.est.password = SECRET
            assert await asyncio.to_thread(_command, tmp_path, "certificates", "renew", "broker") == 0
            await until(lambda: connected(host))
            assert state(host) in {"ok", "warning"}  # the trial may still be under way
            bundle = tmp_path / "diag.tar.gz"
            assert await asyncio.to_thread(_command, tmp_path, "diag", "-o", str(bundle)) == 0
        assert await asyncio.to_thread(_command, tmp_path, "certificates", "ls") == 0  # from the disk
        said = capsys.readouterr()
        for text in (said.out, said.err, *(_texts(bundle))):
            assert SECRET not in text
            assert "PRIVATE KEY" not in text
        assert "simpleenroll would be asked for" in said.out


def _texts(bundle: Path) -> list[str]:
    with tarfile.open(bundle) as archive:
        return [
            file.read().decode("utf-8", "replace")
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        ]
