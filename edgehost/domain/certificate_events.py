"""Facts about the certificates that this host renews."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEvent(Event):
    """Something happened to a certificate of ours."""

    certificate: str  # its name in the configuration

    @property
    def subject(self) -> str:
        """Its name."""
        return self.certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRenewed(CertificateEvent):
    """A new certificate and its key are in their place; connections are made anew with them."""

    type: ClassVar[str] = "edgehost.certificate.renewed"
    fingerprint: str
    ends: float  # unix seconds
    new_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRenewalFailed(CertificateEvent):
    """The authority was asked in vain, or what it gave is not what was asked for; the one before is kept."""

    type: ClassVar[str] = "edgehost.certificate.renewal-failed"
    reason: str
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRefused(CertificateEvent):
    """Who took the certificate before refuses the new one: the last good one is used again."""

    type: ClassVar[str] = "edgehost.certificate.refused"
    fingerprint: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateMoved(CertificateEvent):
    """Its standing has changed: holds, due, expired, missing, unusable, waits for the clock."""

    type: ClassVar[str] = "edgehost.certificate.moved"
    standing: str
