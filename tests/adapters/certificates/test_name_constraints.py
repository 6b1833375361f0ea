"""Authorities that may issue for some names alone: what OpenSSL would refuse in a handshake is refused before."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import RefusedError

AT = datetime(2040, 1, 1, tzinfo=UTC)  # no machine's clock stands there
NOW = AT.timestamp()
PEM = serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
DNS, URI, MAIL = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name


def elliptic() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def named(common_name: str, organization: str = "") -> x509.Name:
    found = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        found.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(found)


def directory(organization: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]))


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))


@dataclass
class Party:
    """A certificate and its key."""

    name: x509.Name
    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def issued(
    name: x509.Name, *extensions: x509.ExtensionType, by: Party | None = None, key: Key | None = None
) -> Party:
    """Signed by somebody, or by itself."""
    own = key or elliptic()
    issuer, signing = (name, own) if by is None else (by.name, by.key)
    builder = (
        x509.CertificateBuilder(issuer, name, own.public_key(), x509.random_serial_number())
        .not_valid_before(AT - timedelta(days=1))
        .not_valid_after(AT + timedelta(days=90))
    )
    for each in extensions:
        builder = builder.add_extension(each, critical=isinstance(each, x509.NameConstraints))
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Party(name, own, builder.sign(signing, digest))


AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)


def paired(leaf: Party, between: Sequence[Party], root: Party) -> bytes:
    answer = leaf.pem + b"".join(each.pem for each in between)
    return X509Workshop().paired(answer, leaf.key_pem, now=NOW, anchors=root.pem).certificate


@pytest.mark.parametrize(
    ("permitted", "excluded", "names", "subject", "is_taken"),
    [
        ([DNS("example.org")], None, [DNS("gate.example.org")], named("gate"), True),
        ([DNS("example.org")], None, [DNS("gate.example.net")], named("gate"), False),
        (None, [DNS("example.org")], [DNS("gate.example.org")], named("gate"), False),
        (None, [DNS("example.org")], [DNS("gate.example.net")], named("gate"), True),
        ([DNS("example.org")], None, [], named("gate.example.net"), False),
        ([DNS("example.org")], None, [], named("gate"), True),  # no name of the net, for OpenSSL
        ([ip("10.0.0.0/8")], None, [ip("10.1.2.3")], named("gate"), True),
        ([ip("10.0.0.0/8")], None, [ip("192.168.0.1")], named("gate"), False),
        ([URI("example.org")], None, [URI("https://example.org/gate")], named("gate"), True),
        ([URI("example.org")], None, [URI("https://example.net/gate")], named("gate"), False),
        ([MAIL("example.org")], None, [MAIL("gate@example.net")], named("gate"), False),
        ([directory("Fleet")], None, [], named("gate", "Another"), False),
    ],
)
@pytest.mark.parametrize("at_root", [False, True])
def test_a_certificate_beyond_the_names_of_its_authority_is_refused(
    permitted: list[x509.GeneralName] | None,
    excluded: list[x509.GeneralName] | None,
    names: list[x509.GeneralName],
    subject: x509.Name,
    *,
    is_taken: bool,
    at_root: bool,
) -> None:
    limits = x509.NameConstraints(permitted, excluded)
    root = issued(named("root"), AUTHORITY, *([limits] if at_root else []))
    below = issued(named("between"), AUTHORITY, *([] if at_root else [limits]), by=root)
    leaf = issued(subject, *([x509.SubjectAlternativeName(names)] if names else []), by=below)
    if at_root and permitted and isinstance(permitted[0], x509.DirectoryName):
        below = issued(named("between", "Fleet"), AUTHORITY, by=root)
        leaf = issued(subject, by=below)
    if is_taken:
        assert paired(leaf, [below], root) == leaf.pem + below.pem
    else:
        with pytest.raises(RefusedError, match=r"may not issue it: (permitted|excluded) subtree violation"):
            paired(leaf, [below], root)


@pytest.mark.parametrize(
    "use", [None, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], ids=str
)
@pytest.mark.parametrize("kind", [elliptic, ed25519.Ed25519PrivateKey.generate], ids=["EC", "Ed25519"])
def test_what_it_is_for_and_the_kind_of_its_key_make_no_difference(
    kind: object, use: x509.ObjectIdentifier | None
) -> None:
    assert callable(kind)
    limits = x509.NameConstraints([DNS("example.org")], None)
    uses = [] if use is None else [x509.ExtendedKeyUsage([use])]
    root = issued(named("root"), AUTHORITY, limits, key=kind())
    for name in ("gate.example.org", "gate.example.net"):
        names = x509.SubjectAlternativeName([DNS(name)])
        leaf = issued(named("gate"), names, *uses, by=root, key=kind())
        if name.endswith("org"):
            assert paired(leaf, [], root) == leaf.pem
        else:
            with pytest.raises(RefusedError, match="permitted subtree violation"):
                paired(leaf, [], root)


def test_another_way_to_the_anchor_is_taken_when_the_first_may_not_issue_it() -> None:
    root = issued(named("root"), AUTHORITY)
    free = issued(named("between"), AUTHORITY, by=root)
    bound = issued(
        named("between"),
        AUTHORITY,
        x509.NameConstraints([DNS("example.org")], None),
        by=root,
        key=free.key,
    )
    leaf = issued(named("gate"), x509.SubjectAlternativeName([DNS("gate.example.net")]), by=free)
    for between in ([free, bound], [bound, free]):
        assert paired(leaf, between, root) == leaf.pem + free.pem


def test_authorities_that_have_all_signed_each_other_are_not_followed_for_ever() -> None:
    key = elliptic()
    others = [issued(named("round"), AUTHORITY, key=key) for _ in range(11)]
    leaf = issued(named("gate"), by=others[0])
    with pytest.raises(RefusedError, match="does not lead"):
        paired(leaf, others, issued(named("root"), AUTHORITY))
