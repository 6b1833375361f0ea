"""Requests and checks, with the openssl command as the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import RefusedError
from edgehost.ports.certificate_authority import Pair
from tests.adapters.certificates.openssl_ca import OpensslCA, openssl, pkcs7, same_key, verified

NOW = 1_900_000_000.0
DAY = 86_400.0


@pytest.fixture
def ca(tmp_path: Path) -> OpensslCA:
    return OpensslCA(tmp_path / "ca")


def pair_of(ca: OpensslCA, folder: Path, name: str = "gate") -> Pair:
    cert_file, key_file = ca.pair(folder, name, now=NOW)
    return Pair(cert_file.read_bytes(), key_file.read_bytes())


def test_a_request_is_one_that_openssl_takes_with_subject_and_names_of_the_certificate(
    ca: OpensslCA, tmp_path: Path
) -> None:
    workshop, pair = X509Workshop(), pair_of(ca, tmp_path)
    key = workshop.new_key(pair.key)
    request = workshop.request(key, like=pair.certificate, common_name="unused")
    shown = openssl("req", "-verify", "-noout", "-text", stdin=request).decode()
    assert "CN = gate" in shown
    assert "DNS:localhost, DNS:gate, IP Address:127.0.0.1" in shown
    assert workshop.fits(request, key, like=pair.certificate)
    assert not workshop.fits(request, workshop.new_key(None), like=pair.certificate)
    first = workshop.request(key, like=None, common_name="shed")
    assert b"CN = shed" in openssl("req", "-noout", "-subject", stdin=first)
    assert not workshop.fits(first, key, like=pair.certificate)
    assert not workshop.fits(b"junk", key, like=None)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("RSA 2048", ("genrsa", "2048")),
        ("EC secp384r1", ("ecparam", "-genkey", "-name", "secp384r1", "-noout")),
        ("Ed25519", ("genpkey", "-algorithm", "ed25519")),
    ],
)
def test_a_new_key_is_of_the_kind_of_the_old_one(
    ca: OpensslCA, tmp_path: Path, kind: str, words: tuple[str, ...]
) -> None:
    workshop = X509Workshop()
    key = workshop.new_key(openssl(*words))
    request = workshop.request(key, like=None, common_name="gate")
    pair = workshop.paired(ca.sign(request, now=NOW), key, now=NOW, anchors=ca.cert_file.read_bytes())
    assert workshop.facts(pair).key_kind == kind
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    assert same_key(tmp_path / "crt", tmp_path / "key")


def test_what_lies_between_comes_along_and_openssl_agrees(ca: OpensslCA, tmp_path: Path) -> None:
    workshop, below = X509Workshop(), ca.between(tmp_path / "between")
    key = workshop.new_key(None)
    issued = below.sign(workshop.request(key, like=None, common_name="gate"))
    import time  # noqa: PLC0415 - those between are of today

    now = time.time()  # noqa: TID251 - as above
    anchors, between = ca.cert_file.read_bytes(), below.cert_file.read_bytes()
    with pytest.raises(RefusedError, match="does not lead"):
        workshop.paired(issued, key, now=now, anchors=anchors)
    for answer, handed in ((issued, between), (between + issued, b"")):
        pair = workshop.paired(answer, key, now=now, anchors=anchors, between=handed)
        assert pair.certificate.count(b"BEGIN CERTIFICATE") == 2
        (tmp_path / "chain").write_bytes(pair.certificate)
        assert verified(tmp_path / "chain", ca.cert_file, between=tmp_path / "chain")
        assert not verified(tmp_path / "chain", ca.cert_file)


def test_what_is_not_the_answer_to_the_request_is_refused_with_the_reason(
    ca: OpensslCA, tmp_path: Path
) -> None:
    workshop, stranger = X509Workshop(), OpensslCA(tmp_path / "stranger", "a stranger")
    key, other = workshop.new_key(None), workshop.new_key(None)
    request = workshop.request(key, like=None, common_name="gate")
    anchors = ca.cert_file.read_bytes()

    def refused(answer: bytes, why: str, *, now: float = NOW, anchors: bytes | None = anchors) -> None:
        with pytest.raises(RefusedError, match=why):
            workshop.paired(answer, key, now=now, anchors=anchors)

    good = ca.sign(request, now=NOW)
    refused(ca.sign(workshop.request(other, like=None, common_name="gate"), now=NOW), "another key")
    refused(good, "ended on", now=NOW + 400 * DAY)
    refused(good, "begins on", now=NOW - 400 * DAY)
    refused(ca.sign(request, now=NOW, begins=-3, days=-1), "ended on")
    refused(stranger.sign(request, now=NOW), "does not lead")
    refused(ca.sign(request, now=NOW, kind="between"), "authority's")
    refused(good * 13, "no chain")
    refused(b"", "another key")
    refused(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate")
    refused(good, "0 certificates", anchors=b"")
    assert workshop.paired(good, key, now=NOW, anchors=None).certificate == good


def test_a_successor_may_have_more_names_and_lacks_none(ca: OpensslCA, tmp_path: Path) -> None:
    workshop, before = X509Workshop(), pair_of(ca, tmp_path).certificate
    key = workshop.new_key(None)
    bare = workshop.request(key, like=None, common_name="gate")
    full = workshop.request(key, like=before, common_name="")

    def taken(answer: bytes, like: bytes | None = before) -> bool:
        pair = workshop.paired(answer, key, now=NOW, like=like, anchors=ca.cert_file.read_bytes())
        return pair.certificate == answer

    named = ca.sign(bare, now=NOW)
    assert taken(ca.sign(full, now=NOW), named)
    assert taken(ca.sign(full, now=NOW, subject="/CN=gate/O=Fleet"))
    assert taken(ca.sign(full, now=NOW, subject="/O=Fleet"))  # DNS:gate is among the alternative names
    for answer, why in (
        (named, "DNS:gate.*is missing"),
        (ca.sign(full, now=NOW, subject="/CN=shed"), "is for 'CN=shed'.*'CN=gate': CN=gate is missing"),
    ):
        with pytest.raises(RefusedError, match=f"(?i){why}"):
            taken(answer)
        assert taken(answer, None)
    with pytest.raises(RefusedError, match="CN=gate is missing"):
        taken(ca.sign(bare, now=NOW, subject="/O=Fleet"), named)


def test_a_forged_issuer_name_leads_nowhere(ca: OpensslCA, tmp_path: Path) -> None:
    workshop, twin = X509Workshop(), OpensslCA(tmp_path / "twin")  # the same name, another key
    key = workshop.new_key(None)
    issued = twin.sign(workshop.request(key, like=None, common_name="gate"), now=NOW)
    with pytest.raises(RefusedError, match="does not lead"):
        workshop.paired(issued, key, now=NOW, anchors=ca.cert_file.read_bytes())


def test_a_host_cannot_pass_for_an_authority(ca: OpensslCA, tmp_path: Path) -> None:
    """A certificate signed with a host's key, which its authority has never made one of."""
    cert_file, key_file = ca.pair(tmp_path, "gate", now=NOW)
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(cert_file.read_bytes())
    (folder / "ca.key").write_bytes(key_file.read_bytes())
    workshop = X509Workshop()
    key = workshop.new_key(None)
    issued = OpensslCA.__new__(OpensslCA)
    issued.folder, issued.issued = folder, []
    (folder / "ca.cnf").write_text((ca.folder / "ca.cnf").read_text().replace(str(ca.folder), str(folder)))
    (folder / "index.txt").touch()
    signed = issued.sign(workshop.request(key, like=None, common_name="shed"), now=NOW)
    with pytest.raises(RefusedError, match="does not lead"):
        workshop.paired(
            signed,
            key,
            now=NOW,
            anchors=ca.cert_file.read_bytes(),
            between=cert_file.read_bytes() + ca.cert_file.read_bytes(),
        )


def test_authorities_that_lead_nowhere_are_refused(ca: OpensslCA, tmp_path: Path) -> None:
    workshop, stranger = X509Workshop(), OpensslCA(tmp_path / "stranger", "a stranger")
    anchors = ca.cert_file.read_bytes()
    workshop.require_authorities(b"", anchors, now=NOW)
    workshop.require_authorities(anchors, anchors, now=NOW)
    workshop.require_authorities(stranger.cert_file.read_bytes() + anchors, anchors, now=NOW)
    with pytest.raises(RefusedError, match="a stranger"):
        workshop.require_authorities(stranger.cert_file.read_bytes(), anchors, now=NOW)


def test_a_key_that_is_another_ones_or_encrypted_is_said(ca: OpensslCA, tmp_path: Path) -> None:
    workshop, pair = X509Workshop(), pair_of(ca, tmp_path)
    with pytest.raises(RefusedError, match="not the one"):
        workshop.facts(Pair(pair.certificate, workshop.new_key(None)))
    with pytest.raises(RefusedError, match="cannot be read"):
        workshop.facts(
            Pair(pair.certificate, openssl("ec", "-aes256", "-passout", "pass:x1234", stdin=pair.key))
        )
    with pytest.raises(RefusedError, match="PEM"):
        workshop.facts(Pair(b"", pair.key))
    assert "PRIVATE" not in repr(pair)


def test_what_openssl_packs_is_read(ca: OpensslCA) -> None:
    one = ca.cert_file.read_bytes()
    assert X509Workshop().certificates_in(pkcs7(one, one)).count(b"BEGIN") == 2
    for junk in (pkcs7(), b"", b"\x30\x84\xff\xff\xff\xff\x06\x09", bytes(1000)):
        with pytest.raises(RefusedError, match="PKCS#7"):
            X509Workshop().certificates_in(junk)
