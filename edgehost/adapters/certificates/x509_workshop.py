"""Keys, requests and certificates by the library cryptography: a CertificateWorkshop.

Imported where a certificate is renewed: the library takes about 7 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import NameOID

from edgehost.adapters.certificates.tls_rehearsal import refusal
from edgehost.adapters.certificates.x509_chain import (
    Time,
    is_authority,
    led_to_anchor,
    ordered,
    read_anchors,
    read_certificates,
    require_holds,
)
from edgehost.adapters.certificates.x509_names import alternative_names, names, require_names, shown
from edgehost.domain.certificate_life import CertificateFacts
from edgehost.domain.errors import RefusedError
from edgehost.ports.certificate_authority import Pair

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
#: A leaf, three between it and its root, and a root that was renewed; more is no chain.
MOST_CERTIFICATES: Final = 12
_RSA_BITS: Final = (2048, 4096)
_PEM: Final = serialization.Encoding.PEM


class X509Workshop:
    """Meets the CertificateWorkshop port."""

    def facts(self, pair: Pair) -> CertificateFacts:
        """What the pair says of itself."""
        found = read_certificates(pair.certificate, "the certificate in use")
        if not found:
            raise RefusedError("There is no certificate in its file.", hint="It must be PEM.")
        leaf, key = found[0], read_key(pair.key)
        if not _is_of(leaf, key):
            raise RefusedError("The key in use is not the one of the certificate in use.")
        return CertificateFacts(
            subject=leaf.subject.rfc4514_string()[:200],
            names=tuple(shown(each)[:100] for each in names(leaf))[:20],
            issuer=leaf.issuer.rfc4514_string()[:200],
            serial=f"{leaf.serial_number:x}",
            fingerprint=fingerprint(leaf),
            begins=leaf.not_valid_before_utc.timestamp(),
            ends=leaf.not_valid_after_utc.timestamp(),
            key_kind=_kind(key),
        )

    def new_key(self, like: bytes | None) -> bytes:
        """A key of the same kind."""
        before = None if like is None else read_key(like)
        made: Key
        if isinstance(before, rsa.RSAPrivateKey):
            bits = min(max(before.key_size, _RSA_BITS[0]), _RSA_BITS[1])
            made = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
        elif isinstance(before, ed25519.Ed25519PrivateKey):
            made = ed25519.Ed25519PrivateKey.generate()
        elif isinstance(before, ed448.Ed448PrivateKey):
            made = ed448.Ed448PrivateKey.generate()
        else:
            made = ec.generate_private_key(ec.SECP256R1() if before is None else before.curve)
        return made.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def request(self, key: bytes, *, like: bytes | None, common_name: str) -> bytes:
        """Subject and names as in the certificate ``like`` (RFC 7030, 4.2.2: a renewal keeps both)."""
        private = read_key(key)
        builder = x509.CertificateSigningRequestBuilder()
        if like is None:
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
            return _signed(builder.subject_name(subject), private)
        leaf = _leaf(like)
        builder = builder.subject_name(leaf.subject)
        extension = alternative_names(leaf)
        if extension is not None:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return _signed(builder, private)

    def fits(self, request: bytes, key: bytes, *, like: bytes | None) -> bool:
        """Whether the request is of this key and asks for what the certificate has."""
        try:
            read = x509.load_pem_x509_csr(request)
            if not read.is_signature_valid or _public(read.public_key()) != _public(
                read_key(key).public_key()
            ):
                return False
        except (ValueError, UnsupportedAlgorithm, RefusedError):
            return False
        return like is None or read.subject == _leaf(like).subject

    def paired(
        self,
        answer: bytes,
        key: bytes,
        *,
        now: float,
        is_least: bool = False,
        like: bytes | None = None,
        anchors: bytes | None,
        between: bytes = b"",
    ) -> Pair:
        """The certificate of the key, checked, with those between it and its anchor."""
        found = read_certificates(answer, "the answer")
        if len(found) > MOST_CERTIFICATES:
            raise RefusedError(f"The answer holds {len(found)} certificates, which is no chain.")
        private = read_key(key)
        leaf = next((each for each in found if _is_of(each, private)), None)
        if leaf is None:
            raise RefusedError(
                "The certificate that came is for another key than the one that was sent.",
                hint="Look at the authority: it answers somebody else's request, or ignores the request.",
            )
        at = Time(now, is_least=is_least)
        require_holds(leaf, at)
        if is_authority(leaf):
            raise RefusedError("The certificate that came is an authority's, which a host must not have.")
        if like is not None:
            require_names(leaf, of=_leaf(like))
        others = [each for each in found if each is not leaf]
        if anchors is None:
            chain = ordered(leaf, others)
        else:
            self.require_authorities(between, anchors, now=now, is_least=is_least)
            others += read_certificates(between, "the authority's list")
            chain = led_to_anchor(
                leaf,
                others,
                read_anchors(anchors),
                at=at,
                against=lambda way, anchor: _beyond_constraints(leaf, way, anchor, key),
            )
        return Pair(_pem(leaf, *chain), key)

    def certificates_in(self, pkcs7: bytes) -> bytes:
        """The certificates of a certs-only PKCS#7 (RFC 5652; RFC 7030, 4.1.3), PEM."""
        try:
            found = load_der_pkcs7_certificates(pkcs7)
        except (ValueError, UnsupportedAlgorithm):
            found = []
        if not found:
            raise RefusedError("That is no PKCS#7 with certificates.")
        return b"".join(each.public_bytes(_PEM) for each in found)

    def require_authorities(
        self, between: bytes, anchors: bytes, *, now: float, is_least: bool = False
    ) -> None:
        """Refuse a list of authorities of which none leads to an anchor; an empty list passes."""
        handed, trusted = read_certificates(between, "the authority's list"), read_anchors(anchors)
        if len(handed) > MOST_CERTIFICATES:
            raise RefusedError(f"The authority hands out {len(handed)} certificates, which is no chain.")
        if not handed or any(each in trusted for each in handed):
            return
        for each in handed:
            try:
                led_to_anchor(each, handed, trusted, at=Time(now, is_least=is_least))
            except RefusedError:
                continue
            return
        raise RefusedError(
            f"The authority hands out '{handed[0].subject.rfc4514_string()[:100]}' as its own certificate, which "
            "does not lead to issuer_file.",
            hint="Somebody else may be answering. Check url, ca_file and issuer_file.",
        )


def read_key(pem: bytes) -> Key:
    """A private key that certificates can be for.

    Raises:
        RefusedError: it cannot be read, is encrypted, or of another kind.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RefusedError(
            "The key cannot be read.", hint="It must be a private key as PEM, without a passphrase."
        ) from None
    if not isinstance(key, Key):
        raise RefusedError("The key is of a kind that no certificate of a host has.")
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _leaf(pem: bytes) -> x509.Certificate:
    found = read_certificates(pem, "the certificate in use")
    if not found:
        raise RefusedError("There is no certificate in its file.", hint="It must be PEM.")
    return found[0]


def _signed(builder: x509.CertificateSigningRequestBuilder, key: Key) -> bytes:
    is_plain = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if is_plain else hashes.SHA256()).public_bytes(_PEM)


def _beyond_constraints(
    leaf: x509.Certificate, way: Sequence[x509.Certificate], anchor: x509.Certificate, key: bytes
) -> str:
    """What is wrong by the name constraints of the authorities; "" where none has any."""
    if not any(_has(each, x509.NameConstraints) for each in (*way, anchor)):
        return ""
    return refusal(Pair(_pem(leaf, *way), key), _pem(anchor))


def _has(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    try:
        certificate.extensions.get_extension_for_class(kind)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return True


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(_PEM) for each in certificates)


def _kind(key: Key) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            return f"EC {key.curve.name}"
        case rsa.RSAPrivateKey():
            return f"RSA {key.key_size}"
        case ed25519.Ed25519PrivateKey():
            return "Ed25519"
        case _:
            return "Ed448"


def _is_of(certificate: x509.Certificate, key: Key) -> bool:
    try:
        return _public(certificate.public_key()) == _public(key.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return False


def _public(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form))  # type: ignore[attr-defined]
