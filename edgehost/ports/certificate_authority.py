"""Who signs certificates for this host, and what is needed around it: keys, pairs of files, and who takes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from edgehost.domain.certificate_life import CertificateFacts, RenewalNotes
from edgehost.domain.errors import UnavailableError


class RequestPendingError(UnavailableError):
    """The authority has taken the request, and its answer is to be had later, by the same request."""

    code = "request-pending"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 3600.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s  # as it says; whoever asks bounds it


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with those between it and its authority, and its key; PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PairPaths:
    """Where a pair lies: absolute paths."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What an authority is asked to sign."""

    pem: bytes  # PKCS#10 (RFC 2986)
    current: PairPaths | None  # the pair that still holds, which vouches for the host; None: there is none
    may_have_ended: bool = False  # of the current one: nobody here knows the time well enough


class CertificateAuthority(Protocol):
    """Signs requests. Errors name no secret."""

    async def look(self, current: PairPaths | None) -> str:
        """Ask without having anything signed; returns what would be done, in a sentence.

        Raises:
            RefusedError: the authority is not the one that is trusted, or the configuration is not enough.
            UnavailableError: it does not answer.
        """
        ...

    async def sign(self, request: SigningRequest) -> bytes:
        """The certificates that came, as PEM in no promised order, bounded, and checked by nobody yet.

        Raises:
            RequestPendingError: the same request is to be sent again later.
            RefusedError: it says no, or answers what cannot be certificates.
            UnavailableError: it does not answer, is too slow, or fails.
        """
        ...

    async def authorities(self) -> bytes:
        """Certificates of authorities that it hands out, as PEM; empty when it has none to give.

        Raises:
            RefusedError, UnavailableError.
        """
        ...


class CertificateWorkshop(Protocol):
    """Makes keys and requests, reads and checks certificates. Blocking."""

    def facts(self, pair: Pair) -> CertificateFacts:
        """What the pair says of itself.

        Raises:
            RefusedError: it cannot be read, or the key is another one's.
        """
        ...

    def new_key(self, like: bytes | None) -> bytes:
        """A key of the same kind, PEM; without one to go by on the curve P-256."""
        ...

    def request(self, key: bytes, *, like: bytes | None, common_name: str) -> bytes:
        """A PKCS#10 request, PEM: subject and names of the certificate ``like``, or the common name alone."""
        ...

    def fits(self, request: bytes, key: bytes, *, like: bytes | None) -> bool:
        """Whether a kept request is still the one to send."""
        ...

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
        """The certificate of this key out of an answer, with those between it and an anchor.

        ``is_least``: it is at least ``now``, so that what begins later may have begun; ``like``: the certificate that
        it succeeds.

        Raises:
            RefusedError: it is not for this key, lacks a name of the one before, does not hold now, or does not lead
                to an anchor.
        """
        ...

    def require_authorities(
        self, between: bytes, anchors: bytes, *, now: float, is_least: bool = False
    ) -> None:
        """Refuse a list of authorities of which none leads to an anchor; an empty list passes.

        Raises:
            RefusedError: it does not.
        """
        ...

    def certificates_in(self, pkcs7: bytes) -> bytes:
        """The certificates of a certs-only PKCS#7 (DER), as PEM.

        Raises:
            RefusedError: it is something else, or empty.
        """
        ...


class PairStore(Protocol):
    """Keeps the pairs of one certificate: the one in use, the last good one, and a request on its way. Blocking.

    Whatever moment the power goes at, the paths in use lead to the old pair or to the new one.
    """

    def mend(self) -> None:
        """Finish what a power cut has left undone; called once, before the paths are used.

        Raises:
            UnavailableError: it cannot be written.
        """
        ...

    def current(self) -> Pair | None:
        """The pair in use; None when there is none."""
        ...

    def last_good(self) -> Pair | None:
        """The pair that was in use before."""
        ...

    def paths(self) -> PairPaths:
        """The paths in use."""
        ...

    def last_good_paths(self) -> PairPaths | None:
        """Where the pair before lies."""
        ...

    def put(self, pair: Pair) -> None:
        """Use this pair from now on; the one before is kept.

        Raises:
            UnavailableError: it cannot be written; the one before is in use.
        """
        ...

    def put_back(self) -> None:
        """Use the last good pair again.

        Raises:
            UnavailableError: there is none, or it cannot be written.
        """
        ...

    def pending(self) -> tuple[bytes, bytes] | None:
        """Key and request that were sent before."""
        ...

    def keep_pending(self, key: bytes, request: bytes) -> None:
        """Keep what is about to be sent."""
        ...

    def drop_pending(self) -> None:
        """It is answered, or given up."""
        ...

    def notes(self) -> RenewalNotes:
        """What was noted; nothing when it cannot be read."""
        ...

    def note(self, notes: RenewalNotes) -> None:
        """Note it durably.

        Raises:
            UnavailableError: it cannot be written.
        """
        ...


class Verdict(StrEnum):
    """What a trial with a certificate showed."""

    TAKEN = "taken"
    NOT_TAKEN = "not taken"  # refused, unreachable: a trial cannot tell which


@dataclass(frozen=True, slots=True)
class CertificateUser:
    """Who is shown the certificate: a broker or server, tried with a connection of its own."""

    name: str
    try_with: Callable[[PairPaths], Awaitable[Verdict]]
