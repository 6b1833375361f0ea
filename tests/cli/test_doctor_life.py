"""Doctor on a host that is down: its clock, its certificates, its crashes and configurations."""

from __future__ import annotations

import json
import os
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgehost.adapters.services.disk_gauge import flash_wear
from edgehost.adapters.storage.life_files import BootRecordFile, CrashFolder
from edgehost.cli.file_checks import check_certificates, check_secrets, named_files
from edgehost.cli.finding import Finding, State
from edgehost.cli.life_checks import check_kernel, check_life, check_signed_times
from edgehost.cli.main import main
from edgehost.composition.crash_notes import killed_for_memory
from edgehost.composition.life_opening import open_generations
from edgehost.config import Config, read_config
from edgehost.domain.boot_record import BootRecord
from edgehost.domain.crash_report import CrashReport
from edgehost.domain.errors import InvalidConfigError
from remotes.clock_floor import ClockFloor, write_floor
from remotes.mqtt_options import MqttOptions


def certificate(folder: Path, name: str, *, begins: float = -1, days: float = 365, ca: bool = False) -> Path:
    """A self-signed certificate and its key; times in days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path = folder / f"{name}.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    return path


def config_with(folder: Path, **files: Path) -> Config:
    remote = {"name": "fleet", "root": "root.json", "transport": "mqtt", "host": "localhost", "tls": True}
    named = {key: str(path) for key, path in files.items()}
    return read_config({"remotes": [{**remote, **named}]}, folder=folder)


def found(config: Config) -> list[tuple[State, str]]:
    return [(each.state, each.what) for each in check_certificates(config)]


@pytest.mark.parametrize(
    ("begins", "days", "state", "what"),
    [
        (-1, 365, State.GOOD, "holds until"),
        (-1, 29, State.NOTE, "in 28 days"),
        (-9, -1, State.WRONG, "ended on"),
        (2, 9, State.WRONG, "this machine's clock says"),
    ],
)
def test_the_ends_of_certificates_are_told_in_time(
    tmp_path: Path, begins: float, days: float, state: State, what: str
) -> None:
    path = certificate(tmp_path, "host", begins=begins, days=days)
    ((kind, text),) = found(config_with(tmp_path, cert_file=path))
    assert kind is state
    assert what in text
    assert str(path) in text


def test_an_authority_that_ended_beside_others_is_only_a_note(tmp_path: Path) -> None:
    old, new = (
        certificate(tmp_path, name, begins=-9, days=days, ca=True) for name, days in (("a", -1), ("b", 99))
    )
    old.write_bytes(old.read_bytes() + new.read_bytes())
    assert found(config_with(tmp_path, ca_file=old))[0][0] is State.NOTE
    (tmp_path / "none.pem").write_text("nothing")
    for name in ("none.pem", "missing.pem"):
        assert found(config_with(tmp_path, ca_file=tmp_path / name))[0][0] is State.WRONG


def test_every_file_that_the_configuration_names_is_looked_at(tmp_path: Path) -> None:
    config = read_config(
        {
            "security": {"key_file": "members.key"},
            "sources": {"far": {"url_file": "far.url"}},
            "services": {"web": {"kind": "http", "url": "http://x", "token_file": "web.token"}},
        },
        folder=tmp_path,
    )
    assert {key for key, _ in named_files(config)} == {
        "security.key_file",
        "sources.far.url_file",
        "services.web.token_file",
    }
    assert [each.state for each in check_secrets(config)] == [State.WRONG] * 3


def test_certificates_need_tls_and_a_key_needs_its_certificate(tmp_path: Path) -> None:
    remote = {"name": "a", "root": "r", "transport": "mqtt", "host": "h"}
    for more, message in (
        ({"cert_file": "c"}, r"remotes\[0\].cert_file is set, and remotes\[0\].tls is not"),
        ({"tls": True, "key_file": "k"}, "without remotes"),
    ):
        with pytest.raises(InvalidConfigError, match=message):
            read_config({"remotes": [{**remote, **more}]}, folder=tmp_path)


def test_a_certificate_that_was_renewed_on_the_disk_is_shown_at_the_next_connection(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "server", ca=True)
    trusted = certificate(tmp_path, "first", ca=True)
    second = certificate(tmp_path, "second", ca=True)
    trusted_both = tmp_path / "both.pem"
    trusted_both.write_bytes(trusted.read_bytes() + second.read_bytes())
    here, key = tmp_path / "mine.pem", tmp_path / "mine.key"
    options = MqttOptions("localhost", tls=True, ca_file=authority, cert_file=here, key_file=key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trusted_both)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(authority, tmp_path / "server.key")

    def shown() -> str:
        context = options.tls_context()
        assert context is not None
        return handshake(server, context)

    for name in ("first", "second"):
        here.write_bytes((tmp_path / f"{name}.pem").read_bytes())
        key.write_bytes((tmp_path / f"{name}.key").read_bytes())
        assert shown() == name


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The common name that a client shows, over memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    subject: Any = (there.getpeercert() or {})["subject"]
    return str(subject[0][0][1])


def test_the_clock_is_held_against_what_was_signed(tmp_path: Path) -> None:
    config = config_with(tmp_path)
    assert list(check_signed_times(config)) == []
    now = time.time()  # noqa: TID251 - what doctor looks at
    folder = config.host.data / "remotes" / "fleet" / "trusted"
    folder.mkdir(parents=True)
    for days, state, what in (
        (0, State.GOOD, "agrees"),
        (400, State.WRONG, "400 days behind"),
        (-90, State.NOTE, "89 days ahead"),
    ):
        write_floor(folder, ClockFloor(int(now + days * 86_400 + 60), ("key",)))
        (finding,) = check_signed_times(config)
        assert (finding.state, finding.subject) == (state, "clock")
        assert what in finding.what
        assert "signatures of remote 'fleet' vouch for" in finding.what


def test_crashes_safe_mode_and_failed_configurations_are_told_of_a_host_that_is_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edgehost.toml"
    file.write_text("[api]\ntcp_port = 0\n")
    data = tmp_path / "data"
    with open_generations(file) as generations:
        generations.chosen(file.read_bytes())
        generations.confirm(1)
        generations.propose(b"[api]\ntcp_port = 1\n", "mqtt:ops")
        generations.fail(2, "The broker was out of reach.")
    CrashFolder(data / "crashes").add(CrashReport("out-of-memory", "Killed process 7", 0.0, "0"))
    BootRecordFile(data / "config" / "boot.json").keep(BootRecord(safe="It fell three times."))
    assert main(["doctor", "--json", "-c", str(file)]) == 1
    findings = {each["subject"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert "It fell three times." in findings["safe mode"]["what"]
    assert "generation 2 (mqtt:ops) was given up, generation 1 runs" in findings["configuration"]["what"]
    assert "Killed process 7" in findings["crashes"]["what"]
    assert all(each["advice"] for each in findings.values() if each["state"] == "wrong")


def test_with_a_broken_file_the_rest_is_checked_by_the_last_good_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edgehost.toml"
    file.write_text("[api]\ntcp_port = 0\n")
    with open_generations(file) as generations:
        generations.chosen(file.read_bytes())
    file.write_text("[api\n")
    assert main(["doctor", "--json", "-c", str(file)]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert "disk" in {each["subject"] for each in findings}


def test_a_host_without_a_past_has_nothing_to_tell(tmp_path: Path) -> None:
    assert list(check_life(config_with(tmp_path))) == []
    kernel: list[Finding] = list(check_kernel())
    assert kernel[0].subject == "kernel"


def test_a_kill_for_memory_is_found_in_the_kernels_log(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    line = "Out of memory: Killed process 4711 (edgehost) total-vm:1kB"
    log.write_text(f"3,1,1,-;something\n6,2,2,-;{line}\n")
    assert "something" in killed_for_memory(4711, log)  # a plain file gives all its lines at once
    log.write_text(f"6,2,2,-;{line}\n")
    assert killed_for_memory(4711, log) == line
    assert killed_for_memory(47, log) == ""
    assert killed_for_memory(4711, tmp_path / "none") == ""


def test_the_wear_of_an_emmc_is_read_where_it_has_any(tmp_path: Path) -> None:
    assert flash_wear(tmp_path, tmp_path) == ""
    assert isinstance(flash_wear(tmp_path), str)
    number = tmp_path.stat().st_dev

    block = tmp_path / "sys" / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    (block / "device").mkdir(parents=True)
    (block / "device" / "life_time").write_text("0x01 0x03\n")
    (block / "device" / "pre_eol_info").write_text("0x01\n")
    assert flash_wear(tmp_path, tmp_path / "sys") == "up to 30 % of its life is used; spare blocks: normal"
