"""The workshop in a process of its own says what the workshop says, and leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgehost.adapters.certificates.workshop_child import ChildWorkshop
from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.ports.certificate_authority import CertificateWorkshop, Pair
from tests.adapters.certificates.openssl_ca import OpensslCA, pkcs7

NOW = 1_900_000_000.0


@pytest.fixture
def child() -> Iterator[ChildWorkshop]:
    made = ChildWorkshop()
    yield made
    made.close()


def test_a_whole_renewal_by_the_child_is_the_same_as_by_the_workshop(
    tmp_path: Path, child: ChildWorkshop
) -> None:
    ca, here = OpensslCA(tmp_path / "ca"), X509Workshop()
    workshop: CertificateWorkshop = child
    anchors = ca.cert_file.read_bytes()
    key = workshop.new_key(None)
    request = workshop.request(key, like=None, common_name="gate")
    assert workshop.fits(request, key, like=None)
    assert here.fits(request, key, like=None)
    answer = workshop.certificates_in(pkcs7(ca.sign(request, now=NOW)))
    workshop.require_authorities(anchors, anchors, now=NOW)
    pair = workshop.paired(answer, key, now=NOW, anchors=anchors)
    assert pair == here.paired(answer, key, now=NOW, anchors=anchors)
    assert workshop.facts(pair) == here.facts(pair)
    again = workshop.request(workshop.new_key(pair.key), like=pair.certificate, common_name="")
    assert b"BEGIN CERTIFICATE REQUEST" in again
    with pytest.raises(RefusedError) as told:
        workshop.paired(answer, workshop.new_key(None), now=NOW, anchors=anchors)
    assert "another key" in told.value.message
    assert told.value.hint


def test_a_pair_that_was_seen_before_needs_no_process(tmp_path: Path, child: ChildWorkshop) -> None:
    cert_file, key_file = OpensslCA(tmp_path / "ca").pair(tmp_path, "gate")
    pair, broken = (
        Pair(cert_file.read_bytes(), key_file.read_bytes()),
        Pair(cert_file.read_bytes(), b"no key"),
    )
    facts = child.facts(pair)
    with pytest.raises(RefusedError, match="cannot be read"):
        child.facts(broken)
    child.close()
    assert child.facts(pair) == facts
    with pytest.raises(RefusedError, match="cannot be read"):
        child.facts(broken)
    assert child._process is None


def test_a_process_that_has_ended_is_begun_again_and_one_that_ends_at_once_is_an_error(
    child: ChildWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert child.new_key(None)
    process = child._process
    assert process is not None
    process.kill()
    process.wait()
    assert child.new_key(None)
    child.close()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="without an answer"):
        child.new_key(None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(UnavailableError, match="cannot be started"):
        child.new_key(None)


def test_the_process_ends_by_itself_when_nobody_asks() -> None:
    child = ChildWorkshop(idle_s=0.05)
    assert child.new_key(None)
    process = child._process
    assert process is not None
    assert process.wait(timeout=30) == 0
    assert child.new_key(None)
    child.close()


def test_the_child_sees_no_secret_of_the_environment(
    child: ChildWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEHOST_PASSPHRASE", "secret")
    assert child.new_key(None)
    process = child._process
    assert process is not None
    assert b"secret" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"KEY" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_a_host_that_renews_certificates_does_not_load_the_library() -> None:
    script = (
        "import sys, edgehost.host, edgehost.composition.certificates\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=dict(os.environ), timeout=50, check=True
    )
    assert done.stdout.strip() == b"[]"
