"""MQTT beyond the contract: cuts, credentials, old brokers, hostile brokers."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import logging
import resource
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.cli.mirror_targets import read_target
from edgehost.domain.errors import InvalidConfigError, RemoteUnreachableError
from remotes.mirror import mirror_repository
from remotes.mqtt_client import PACKET_MOST_BYTES
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import _GRACE_S, _Wanted, open_mqtt_transport
from remotes.transport import TIMESTAMP
from tests.remotes.hostile_broker import (
    Script,
    answer_with_garbage,
    flood_with_messages,
    hostile_broker,
    say_nothing,
    send_an_endless_packet,
)
from tests.remotes.workshop import Workshop, broker_options, component_bytes
from tests.required_tools import require_tool

CHUNK = "chunk/" + "ab" * 32


@asynccontextmanager
async def mosquitto(extra_config: str = "", folder: Path | None = None) -> AsyncIterator[EmbeddedBroker]:
    require_tool("mosquitto")
    async with open_broker(kind="mosquitto", extra_config=extra_config, folder=folder) as broker:
        yield broker


async def test_a_fetch_rides_through_a_broker_restart() -> None:
    async with (
        mosquitto() as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as transport,
    ):
        await transport.publish(TIMESTAMP, b"{}")
        await transport.publish(CHUNK, b"content")
        await broker.stop()
        async with asyncio.TaskGroup() as tasks:
            fetch = tasks.create_task(transport.fetch(CHUNK, most_bytes=100))
            await asyncio.sleep(0)
            await broker.start()
        assert fetch.result() == b"content"


async def test_a_change_during_an_outage_is_told_after_it() -> None:
    async with (
        mosquitto() as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as reader,
    ):
        async with open_mqtt_transport("demo", broker_options(broker.tcp_port)) as publisher:
            await publisher.publish(TIMESTAMP, b"one")
        assert await reader.fetch(TIMESTAMP, most_bytes=100) == b"one"
        changes = reader.changes()
        await broker.stop(kill=True)  # it forgets everything
        await broker.start()
        async with open_mqtt_transport("demo", broker_options(broker.tcp_port)) as publisher:
            await publisher.publish(TIMESTAMP, b"two")
        async with asyncio.timeout(30):
            await anext(changes)
        assert await reader.fetch(TIMESTAMP, most_bytes=100) == b"two"


async def test_a_file_that_comes_late_ends_the_wait_while_no_timestamp_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = _Wanted.take

    def late(wanted: _Wanted, content: bytes) -> None:
        asyncio.get_running_loop().call_later(2 * _GRACE_S, take, wanted, content)

    monkeypatch.setattr(_Wanted, "take", late)  # as over a line with delayed acknowledgements
    async with mosquitto() as broker:
        patient = replace(broker_options(broker.tcp_port, answer_timeout_s=60.0), missing_timeout_s=60.0)
        async with open_mqtt_transport("demo", patient) as transport, asyncio.timeout(30):
            for number in range(8):
                path = f"chunk/{number:064x}"
                await transport.publish(path, b"content")
                assert await transport.fetch(path, most_bytes=100) == b"content"


async def test_a_wait_that_ended_early_leaves_no_answer_for_another_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remotes.mqtt_transport._GRACE_S", 0.0)
    names = [f"chunk/{number:064x}" for number in range(60)]
    async with (
        mosquitto() as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as transport,
    ):
        await transport.publish(TIMESTAMP, b"{}")
        for name in names:
            await transport.publish(name, name.encode())
        for name in names:
            assert await transport.fetch(name, most_bytes=100) == name.encode()


async def test_the_first_mirroring_to_a_fresh_broker_is_quick(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0", content=component_bytes(130_000))
    async with mosquitto() as broker:
        target = read_target(f"mqtt://127.0.0.1:{broker.tcp_port}/demo")
        as_a_reader_s = 8 * MqttOptions("127.0.0.1").missing_timeout_s
        async with target.opened() as transport, asyncio.timeout(as_a_reader_s):
            assert (await mirror_repository(shop.repository, transport)).published == 8


async def test_the_end_of_the_link_and_its_return_are_told() -> None:
    async with (
        mosquitto() as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as transport,
    ):
        assert not transport.connected
        changes = transport.link_changes()
        for action, connected in ((None, True), (broker.stop, False), (broker.start, True)):
            if action is not None:
                await action()
            async with asyncio.timeout(30):
                while transport.connected is not connected:
                    await anext(changes)


async def test_no_broker_is_an_unreachable_remote_that_says_where_it_looked() -> None:
    async with open_mqtt_transport("demo", broker_options(1, answer_timeout_s=0.3)) as transport:
        with pytest.raises(RemoteUnreachableError, match=r"mqtt://127\.0\.0\.1:1/.*refused") as error:
            await transport.fetch(TIMESTAMP, most_bytes=100)
        assert error.value.hint


@pytest.mark.parametrize(
    "script", [answer_with_garbage, say_nothing, send_an_endless_packet, flood_with_messages]
)
async def test_a_hostile_broker_costs_neither_memory_nor_the_host(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with hostile_broker(script) as tcp_port:
        options = replace(broker_options(tcp_port, answer_timeout_s=1.5), mqtt_version="5")
        async with open_mqtt_transport("demo", options) as transport:
            with caplog.at_level(logging.CRITICAL), pytest.raises(RemoteUnreachableError):
                await transport.fetch("metadata/2.root.json", most_bytes=1000)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 32


async def test_a_message_over_the_packet_bound_is_as_good_as_missing() -> None:
    async with (
        mosquitto() as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as transport,
    ):
        await transport.publish(TIMESTAMP, b"{}")
        await transport.publish("metadata/9.targets.json", b"x" * (PACKET_MOST_BYTES + 1))
        assert await transport.fetch("metadata/9.targets.json", most_bytes=1000) is None
        assert await transport.fetch(TIMESTAMP, most_bytes=1000) == b"{}"


async def test_an_old_broker_that_is_silent_to_mqtt_5_is_spoken_to_in_3_1_1() -> None:
    async with (
        open_broker(kind="amqtt") as broker,
        open_mqtt_transport("demo", broker_options(broker.tcp_port)) as transport,
    ):
        await transport.publish(TIMESTAMP, b"{}")
        assert await transport.fetch(TIMESTAMP, most_bytes=100) == b"{}"


def password_config(folder: Path, *, acl: str = "") -> str:
    """A broker with one user, "edge", whose password is "right"."""
    passwords = folder / "passwords"
    subprocess.run(
        [require_tool("mosquitto_passwd"), "-c", "-b", str(passwords), "edge", "right"],
        check=True,
        capture_output=True,
    )
    (folder / "acl").write_text(f"user edge\n{acl or 'topic readwrite #'}\n")
    passwords.chmod(0o644)
    return f"allow_anonymous false\npassword_file {passwords}\nacl_file {folder / 'acl'}"


async def test_a_password_comes_from_a_file_and_never_shows(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("right\n")
    async with mosquitto(password_config(tmp_path)) as broker:
        options = replace(broker_options(broker.tcp_port), username="edge", password_file=tmp_path / "secret")
        async with open_mqtt_transport("demo", options) as transport:
            await transport.publish(TIMESTAMP, b"{}")
            assert await transport.fetch(TIMESTAMP, most_bytes=100) == b"{}"


async def test_a_wrong_password_is_said_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mosquitto(password_config(tmp_path)) as broker:
        options = replace(
            broker_options(broker.tcp_port, answer_timeout_s=3), username="edge", password="hunter2"
        )
        assert "hunter2" not in repr(options)
        async with open_mqtt_transport("demo", options) as transport:
            with pytest.raises(RemoteUnreachableError, match=r"(?i)not authorized|bad user") as error:
                await transport.fetch(TIMESTAMP, most_bytes=100)
    assert "hunter2" not in str(error.value) + caplog.text


async def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    options = replace(
        broker_options(1, answer_timeout_s=0.3), username="edge", password_file=tmp_path / "absent"
    )
    with pytest.raises(InvalidConfigError, match="absent"):
        options.read_password()
    async with open_mqtt_transport("demo", options) as transport:
        with pytest.raises(RemoteUnreachableError, match="absent"):
            await transport.fetch(TIMESTAMP, most_bytes=100)


async def test_publishing_without_the_right_to_is_noticed(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    config = password_config(tmp_path, acl="topic read #")
    async with mosquitto(config) as broker:
        options = replace(broker_options(broker.tcp_port), username="edge", password="right")
        async with open_mqtt_transport("demo", options) as transport:
            with pytest.raises(RemoteUnreachableError, match=r"took chunk/.* but does not serve it"):
                await mirror_repository(shop.repository, transport)


# Paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_checks_the_brokers_certificate(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    tls = f"allow_anonymous true\ncertfile {tmp_path / 'broker.pem'}\nkeyfile {tmp_path / 'broker.key'}"
    async with mosquitto(tls) as broker:
        options = replace(broker_options(broker.tcp_port), tls=True, ca_file=tmp_path / "ca.pem")
        async with open_mqtt_transport("demo", options) as transport:
            await transport.publish(TIMESTAMP, b"{}")
            assert await transport.fetch(TIMESTAMP, most_bytes=100) == b"{}"
            assert transport.address.startswith("mqtts://")
        stranger = replace(options, ca_file=None, answer_timeout_s=1)
        async with open_mqtt_transport("demo", stranger) as transport:
            with pytest.raises(RemoteUnreachableError, match=r"(?i)certificate"):
                await transport.fetch(TIMESTAMP, most_bytes=100)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="TLS files"):
        MqttOptions("broker.example", tls=True, ca_file=tmp_path / "absent").tls_context()


def test_a_key_with_a_passphrase_is_refused_and_nothing_is_asked_at_the_terminal(tmp_path: Path) -> None:
    write_certificates(tmp_path, passphrase=b"secret")
    options = MqttOptions(
        "broker.example", tls=True, cert_file=tmp_path / "broker.pem", key_file=tmp_path / "broker.key"
    )
    with pytest.raises(InvalidConfigError, match="TLS files") as caught:
        options.tls_context()
    assert "without a passphrase" in caught.value.hint


def write_certificates(folder: Path, passphrase: bytes = b"") -> None:
    """A CA of our own and a certificate for 127.0.0.1."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgehost test")])
    now = dt.datetime.now(dt.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder(name, subject, public, x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
            .add_extension(names, critical=False)
            .sign(ca_key, hashes.SHA256())
        )

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    ca = certificate(name, ca_key.public_key(), ca=True)
    broker = certificate(subject, key.public_key(), ca=False)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "broker.pem").write_bytes(broker.public_bytes(serialization.Encoding.PEM))
    encryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (folder / "broker.key").write_bytes(private)
