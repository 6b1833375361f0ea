"""Client certificates that are replaced while connections stand, and trials of those that nobody knows."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from remotes.certificate_connections import connect_anew, shows
from remotes.certificate_trial import coap_takes, http_takes, mqtt_takes
from remotes.coap_options import CoapServing
from remotes.coap_transport import open_coap_transport
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks
from tests.adapters.certificates.openssl_ca import OpensslCA, openssl
from tests.remotes.coap_carriers import open_served, port_of, quick
from tests.remotes.test_http_tls import CHUNK, NEVER
from tests.remotes.web_carriers import QUICK
from tests.remotes.web_server import open_nginx
from tests.required_tools import require_tool


@pytest.fixture
def ca(tmp_path: Path) -> OpensslCA:
    made = OpensslCA(tmp_path / "ca")
    made.pair(tmp_path, "server")
    made.pair(tmp_path, "gate")
    return made


def serial(certificate: Path) -> str:
    return openssl("x509", "-in", certificate, "-noout", "-serial").decode().strip().partition("=")[2]


def options(folder: Path, ca: OpensslCA) -> HttpOptions:
    return dataclasses.replace(
        QUICK, ca_file=ca.cert_file, cert_file=folder / "gate.crt", key_file=folder / "gate.key"
    )


async def test_over_https_the_next_request_shows_the_new_certificate(tmp_path: Path, ca: OpensslCA) -> None:
    tls = (
        f"ssl_certificate {tmp_path}/server.crt; ssl_certificate_key {tmp_path}/server.key; "
        f"ssl_client_certificate {ca.cert_file}; ssl_verify_client on;"
    )
    async with (
        open_nginx(
            tmp_path / "site", tls=" ssl", server=tls, location="return 200 $ssl_client_serial;"
        ) as site,
        open_http_transport(site.url, options(tmp_path, ca), look_s=NEVER) as transport,
    ):
        seen = []
        for _ in range(2):
            assert (await transport.fetch(CHUNK, most_bytes=100) or b"").decode() == serial(
                tmp_path / "gate.crt"
            )
            seen.append(serial(tmp_path / "gate.crt"))
            await asyncio.to_thread(ca.pair, tmp_path, "gate")
            assert connect_anew(tmp_path / "gate.crt") == 1
        assert len(set(seen)) == 2


async def test_over_coap_the_link_is_made_anew(tmp_path: Path, ca: OpensslCA) -> None:
    serving = CoapServing(
        port=0,
        tls_port=0,
        cert_file=tmp_path / "server.crt",
        key_file=tmp_path / "server.key",
        client_ca_file=ca.cert_file,
    )
    shown = {
        "tls": True,
        "ca_file": ca.cert_file,
        "cert_file": tmp_path / "gate.crt",
        "key_file": tmp_path / "gate.key",
    }
    async with open_served(tmp_path / "mirror", serving) as (publisher, served):
        await publisher.publish(CHUNK, b"x")
        async with open_coap_transport("demo", quick(port_of(served.tls), **shown)) as transport:
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
            link = transport._link
            await asyncio.to_thread(ca.pair, tmp_path, "gate")
            assert connect_anew(tmp_path / "gate.crt") == 1
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
            assert transport._link is not link
        assert connect_anew(tmp_path / "gate.crt") == 0
        stranger = OpensslCA(tmp_path / "stranger", "a stranger")
        other = await asyncio.to_thread(stranger.pair, tmp_path / "stranger", "gate")
        tried = quick(port_of(served.tls), **shown)
        assert await coap_takes(tried, tmp_path / "gate.crt", tmp_path / "gate.key")
        assert not await coap_takes(tried, *other)
        assert not await coap_takes(
            dataclasses.replace(tried, port=1), tmp_path / "gate.crt", tmp_path / "gate.key"
        )


async def test_a_trial_over_https_tells_what_is_taken_and_what_is_not(tmp_path: Path, ca: OpensslCA) -> None:
    tls = (
        f"ssl_certificate {tmp_path}/server.crt; ssl_certificate_key {tmp_path}/server.key; "
        f"ssl_client_certificate {ca.cert_file}; ssl_verify_client on;"
    )
    stranger = OpensslCA(tmp_path / "stranger", "a stranger")
    other = await asyncio.to_thread(stranger.pair, tmp_path / "stranger", "gate")
    ended = await asyncio.to_thread(lambda: ca.pair(tmp_path, "ended", begins=-9, days=-1))
    plain = HttpOptions(ca_file=ca.cert_file)
    async with open_nginx(tmp_path / "site", tls=" ssl", server=tls) as site:
        assert await http_takes(site.url, plain, tmp_path / "gate.crt", tmp_path / "gate.key")
        assert not await http_takes(site.url, plain, *other)
        assert not await http_takes(site.url, plain, *ended)
        assert not await http_takes(site.url, plain, tmp_path / "gate.crt", other[1])
    assert not await http_takes(site.url, plain, tmp_path / "gate.crt", tmp_path / "gate.key")


@pytest.mark.parametrize("version", ["auto", "5", "3.1.1"])
async def test_a_trial_over_mqtt_tells_what_is_taken_and_what_is_not(
    version: str, tmp_path: Path, ca: OpensslCA
) -> None:
    require_tool("mosquitto")
    tls = (
        f"cafile {ca.cert_file}\ncertfile {tmp_path}/server.crt\nkeyfile {tmp_path}/server.key\n"
        "require_certificate true\nallow_anonymous true"
    )
    stranger = OpensslCA(tmp_path / "stranger", "a stranger")
    other = await asyncio.to_thread(stranger.pair, tmp_path / "stranger", "gate")
    async with open_broker(kind="mosquitto", extra_config=tls) as broker:
        shown = MqttOptions(
            "127.0.0.1",
            broker.tcp_port,
            tls=True,
            ca_file=ca.cert_file,
            mqtt_version=version,  # type: ignore[arg-type]  # one of the known words
        )
        assert await mqtt_takes(shown, tmp_path / "gate.crt", tmp_path / "gate.key")
        assert not await mqtt_takes(shown, *other)
        assert not await mqtt_takes(shown, tmp_path / "gate.crt", other[1])
    assert not await mqtt_takes(shown, tmp_path / "gate.crt", tmp_path / "gate.key")


def test_whoever_has_gone_is_told_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    with shows(tmp_path / "a", lambda: told.append("first")):
        with shows(tmp_path / "a", lambda: told.append("second")), shows(None, lambda: told.append("none")):
            assert connect_anew(tmp_path / "a") == 2
        assert connect_anew(tmp_path / "a") == 1
        assert connect_anew(tmp_path / "b") == 0
    assert connect_anew(tmp_path / "a") == 0
    assert told == ["first", "second", "first"]


@pytest.mark.parametrize("retain", [False, True])
async def test_over_mqtt_a_death_that_is_told_once_is_told_and_a_retained_one_is_not(
    retain: bool, tmp_path: Path
) -> None:
    """Without TLS: what is tried is how a link ends that is made anew."""
    require_tool("mosquitto")
    certificate, heard = tmp_path / "gate.crt", asyncio.Queue[str]()
    async with open_broker(kind="mosquitto") as broker:
        plain = MqttOptions("127.0.0.1", broker.tcp_port, cert_file=certificate)
        up = asyncio.Queue[Link]()

        async def serve(link: Link, online: Callable[[], None]) -> None:
            online()
            up.put_nowait(link)
            async for _ in link.client.messages:
                pass

        async def listen(link: Link, online: Callable[[], None]) -> None:
            await link.answered(link.client.subscribe("#", qos=1))
            online()
            heard.put_nowait("listening")
            async for message in link.client.messages:
                heard.put_nowait(str(message.topic))

        async with asyncio.timeout(40), owned_tasks() as spawn:
            spawn(ConnectionKeeper(dataclasses.replace(plain, cert_file=None), listen).run(), "listener")
            assert await heard.get() == "listening"
            willing = dataclasses.replace(plain, will_topic="death", will_payload=b"x", will_retain=retain)
            spawn(ConnectionKeeper(willing, serve).run(), "keeper")
            first = await up.get()
            assert connect_anew(certificate) == 1
            second = await up.get()
            assert second is not first
            await second.client.publish("after", b"", qos=1)
            assert [await heard.get() for _ in range(1 if retain else 2)] == (
                ["after"] if retain else ["death", "after"]
            )
