"""Chains of certificates: read, put in order, and followed to an authority that is trusted (RFC 5280, 6.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from edgehost.domain.certificate_life import SKEW_S, day
from edgehost.domain.errors import RefusedError

#: Anchors may be a whole list of authorities.
_MOST_ANCHORS: Final = 1000
_DEEPEST: Final = 6
#: Authorities that have signed each other in every order have thousands of ways through them.
_MOST_WAYS: Final = 256


@dataclass(frozen=True, slots=True)
class Time:
    """What certificates are judged by."""

    now: float  # unix seconds
    is_least: bool = False  # it may be later

    def __str__(self) -> str:
        if self.is_least:
            return f"by signed dates it is {day(self.now)} at least"
        return f"this machine's clock says {day(self.now)}"

    def has_begun(self, certificate: x509.Certificate) -> bool:
        """Whether it may be in use already."""
        return self.is_least or certificate.not_valid_before_utc.timestamp() <= self.now + SKEW_S

    def has_ended(self, certificate: x509.Certificate) -> bool:
        """Whether it has for sure."""
        return certificate.not_valid_after_utc.timestamp() <= self.now


def read_certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, none for an empty one.

    Raises:
        RefusedError: it is something else.
    """
    if not pem.strip():
        return []
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise RefusedError(f"In {what} is no certificate ({first_line(problem)}).") from None


def read_anchors(pem: bytes) -> list[x509.Certificate]:
    """The certificates that are trusted.

    Raises:
        RefusedError: there is none, or too many.
    """
    found = read_certificates(pem, "issuer_file")
    if not found or len(found) > _MOST_ANCHORS:
        raise RefusedError(f"issuer_file holds {len(found)} certificates; 1 to {_MOST_ANCHORS} can be used.")
    return found


def led_to_anchor(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    *,
    at: Time,
    against: Callable[[Sequence[x509.Certificate], x509.Certificate], str] = lambda _way, _anchor: "",
) -> list[x509.Certificate]:
    """Those between a certificate and an anchor, in order; the anchor itself only when it is no root.

    Each must be an authority's, hold now, and have signed the one before it (RFC 5280, 6.1, without policies);
    ``against`` says what else is wrong with a way. Nobody is asked whether one of them was revoked.

    Raises:
        RefusedError: no way leads there.
    """
    why, looked_at = "", 0
    ways: list[list[x509.Certificate]] = [[]]
    while ways and looked_at < _MOST_WAYS:
        looked_at += 1
        way = ways.pop()
        last = way[-1] if way else leaf
        for anchor in anchors:
            if not _has_signed(anchor, last, depth=len(way), at=at):
                continue
            wrong = against(way, anchor)
            why = why or wrong
            if not wrong:
                return way if anchor.subject == anchor.issuer else [*way, anchor]
        if len(way) < _DEEPEST:
            ways += [
                [*way, each]
                for each in others
                if each not in way and each != leaf and _has_signed(each, last, depth=len(way), at=at)
            ]
    if why:
        raise RefusedError(
            f"The certificate of '{shown_subject(leaf)}' leads to issuer_file by authorities that may not issue it: "
            f"{why}.",
            hint="Compare its subject and names with the name constraints of these authorities; have it issued for "
            "others, or by another authority.",
        )
    raise RefusedError(
        f"The certificate of '{shown_subject(leaf)}' does not lead to an authority in issuer_file; "
        f"it was issued by '{leaf.issuer.rfc4514_string()[:100]}'.",
        hint="Check that the right authority is asked, and what issuer_file holds.",
    )


def require_holds(leaf: x509.Certificate, at: Time) -> None:
    """Refuse what has ended, or has not begun.

    Raises:
        RefusedError.
    """
    if not at.has_begun(leaf):
        begins = leaf.not_valid_before_utc.timestamp()
        raise RefusedError(
            f"The certificate that came begins on {day(begins)}, and {at}.",
            hint="Check the clock of this machine first; then the authority's.",
        )
    if at.has_ended(leaf):
        ends = leaf.not_valid_after_utc.timestamp()
        raise RefusedError(
            f"The certificate that came ended on {day(ends)}, and {at}.",
            hint="Check the authority's clock."
            if at.is_least
            else "Check the clock of this machine first; then the authority's.",
        )


def _has_signed(issuer: x509.Certificate, child: x509.Certificate, *, depth: int, at: Time) -> bool:
    """Whether this one is an authority's that may, and did; ``depth``: authorities below it."""
    if issuer.subject != child.issuer or not is_authority(issuer, depth):
        return False
    if not at.has_begun(issuer) or at.has_ended(issuer):
        return False
    try:
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_authority(certificate: x509.Certificate, depth: int = 0) -> bool:
    """Whether it may issue certificates, with so many authorities below it."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    if not constraints.ca or (constraints.path_length is not None and constraints.path_length < depth):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except (x509.ExtensionNotFound, ValueError):
        return True


def ordered(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Each followed by its issuer, as TLS sends them; roots are for the other side to know."""
    chain: list[x509.Certificate] = []
    last = leaf
    while len(chain) < _DEEPEST:
        above = next(
            (
                each
                for each in others
                if each.subject == last.issuer and each.subject != each.issuer and each not in chain
            ),
            None,
        )
        if above is None:
            break
        chain.append(above)
        last = above
    return chain


def shown_subject(certificate: x509.Certificate) -> str:
    """For people."""
    return certificate.subject.rfc4514_string()[:100]


def first_line(problem: Exception) -> str:
    """Of what a library complains."""
    return str(problem).partition("\n")[0][:120].rstrip(".")
