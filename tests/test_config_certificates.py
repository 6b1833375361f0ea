"""[[certificates]] in the configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edgehost.adapters.certificates.pair_folder import PairFolder
from edgehost.cli.file_checks import check_certificates, check_secrets, named_files
from edgehost.cli.finding import State
from edgehost.config import Config, read_config
from edgehost.domain.errors import RefusedError
from edgehost.ports.certificate_authority import Pair
from tests.adapters.certificates.openssl_ca import OpensslCA

FOLDER = Path("/etc/edgehost")
EST = '[[certificates]]\nname = "broker"\ncert_file = "gate.crt"\nkey_file = "gate.key"\nurl = "https://est.example"\n'
EXEC = EST.replace('url = "https://est.example"', 'method = "exec"\ncommand = ["/bin/issue", "gate"]')
SHELF = '[shelf]\ncoap_listen = "::1"\ncoap_cert_file = "gate.crt"\ncoap_key_file = "{key}"\n'
FLEET = '[fleet]\nname = "yard"\nhost = "broker"\ntls = true\ncert_file = "gate.crt"\nkey_file = "{key}"\n'


def config(text: str) -> Config:
    return read_config(tomllib.loads(text), folder=FOLDER)


def test_both_methods_are_read_and_the_connections_that_show_a_certificate_are_known() -> None:
    remote = (
        '[[remotes]]\nname = "far"\nroot = "root.json"\ntransport = "coap"\nhost = "h"\ntls = true\n'
        'cert_file = "gate.crt"\nkey_file = "gate.key"\n'
        '[[remotes.mirrors]]\ntransport = "http"\nurl = "https://h"\ncert_file = "gate.crt"\nkey_file = "gate.key"\n'
    )
    read = config(FLEET.format(key="gate.key") + remote + EST)
    (each,) = read.certificates
    assert (each.cert_file, each.method, each.new_key) == (FOLDER / "gate.crt", "est", True)
    shown = [where for where, carrier in read.certificate_carriers() if carrier.cert_file == each.cert_file]
    assert shown == ["fleet", "remotes[0]", "remotes[0].mirrors[0]"]
    (each,) = config(EXEC).certificates
    assert (each.command, each.timeout_s) == (("/bin/issue", "gate"), 120.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EST + EST, "is 'broker', as another's"),
        (EST + EST.replace('"broker"', '"other"'), "is another's too"),
        (EST.replace("gate.key", "gate.crt"), "is another's too"),
        (EST.replace("https", "http"), "url is no address"),
        (EST.replace("https://est", "https://user:secret@est"), "url is no address"),
        (EST.replace("est.example", "est.example:99999"), "url is no address"),
        (EST.replace("est.example", "est.example/?token=1"), "url is no address"),
        (EST + 'username = "gate"\n', "goes with password_file"),
        (EST + 'command = ["x"]\n', "command has no meaning with method = 'est'"),
        (EXEC + 'username = "gate"\n', "username has no meaning with method = 'exec'"),
        (EXEC.replace('command = ["/bin/issue", "gate"]', ""), "command has 0 words"),
        (EXEC.replace("/bin/issue", "bin/issue"), "depends on where"),
        (EST + "tries_a_day = 1000\n", "tries_a_day"),
        (EST + "renew_at = 1.0\n", "renew_at"),
        (EST + "renews = true\n", "renews"),
        (FLEET.format(key="other.key") + EST, "fleet.key_file is /etc/edgehost/other.key"),
        (SHELF.format(key="other.key") + EST, "shelf.coap_key_file is /etc/edgehost/other.key"),
    ],
)
def test_what_contradicts_itself_or_would_do_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message.replace("[", r"\[")) as told:
        config(text)
    assert "secret" not in str(told.value)


def test_its_files_are_looked_at_by_doctor() -> None:
    read = config(EST + 'username = "gate"\npassword_file = "p"\nissuer_file = "i"\nca_file = "c"\n')
    named = {key for key, _ in named_files(read)}
    assert {
        f"certificates[0].{key}" for key in ("cert_file", "key_file", "password_file", "issuer_file")
    } <= named
    assert {"certificates[0].key_file", "certificates[0].password_file"} <= {
        each.subject for each in check_secrets(read)
    }


def test_doctor_says_of_a_certificate_near_its_end_who_renews_it(tmp_path: Path) -> None:
    OpensslCA(tmp_path / "ca").pair(tmp_path, "gate", days=20)
    by_itself = read_config(tomllib.loads(FLEET.format(key="gate.key") + EST), folder=tmp_path)
    by_hand = read_config(tomllib.loads(FLEET.format(key="gate.key")), folder=tmp_path)
    assert {(each.state, "the host renews it" in each.what) for each in check_certificates(by_itself)} == {
        (State.GOOD, True)
    }
    assert [each.state for each in check_certificates(by_hand)] == [State.NOTE]
    OpensslCA(tmp_path / "other").pair(tmp_path, "gate", begins=-9, days=-1)
    assert all("certificates ls" in each.advice for each in check_certificates(by_itself))


def test_a_key_that_others_read_too_is_noted_before_a_renewal_takes_it_from_them(tmp_path: Path) -> None:
    _, key_file = OpensslCA(tmp_path / "ca").pair(tmp_path, "gate")
    key_file.chmod(0o640)
    for text, state in (
        (FLEET.format(key="gate.key") + EST, State.NOTE),
        (FLEET.format(key="gate.key"), State.GOOD),
    ):
        found = list(check_secrets(read_config(tomllib.loads(text), folder=tmp_path)))
        assert {each.state for each in found} == {state}
    pair = Pair((tmp_path / "gate.crt").read_bytes(), key_file.read_bytes())
    PairFolder(tmp_path / "data" / "broker", tmp_path / "gate.crt", key_file).put(pair)
    found = list(
        check_secrets(read_config(tomllib.loads(FLEET.format(key="gate.key") + EST), folder=tmp_path))
    )
    assert {each.state for each in found} == {State.GOOD}


def test_a_certificate_that_the_host_will_ask_for_is_no_fault_of_the_files(tmp_path: Path) -> None:
    to_come = read_config(tomllib.loads(FLEET.format(key="gate.key") + EST), folder=tmp_path)
    found = [*check_certificates(to_come), *check_secrets(to_come)]
    assert {each.subject for each in found} >= {"certificates[0].cert_file", "fleet.key_file"}
    assert {each.state for each in found} == {State.NOTE}
    assert all("certificates ls" in each.advice for each in found)
    by_hand = read_config(tomllib.loads(FLEET.format(key="gate.key")), folder=tmp_path)
    assert {each.state for each in (*check_certificates(by_hand), *check_secrets(by_hand))} == {State.WRONG}
