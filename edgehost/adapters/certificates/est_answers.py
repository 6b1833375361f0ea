"""What an EST server answers: base64, certs-only PKCS#7, and how long to wait."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from edgehost.domain.errors import RefusedError

#: A chain of large RSA certificates has about 10 KiB.
ANSWER_MOST_BYTES: Final = 128 * 1024
_WAIT_S: Final = 3600.0


def pkcs7_of(body: bytes, whose: str) -> bytes:
    """The DER of an answer (RFC 7030, 4.1.3 and 4.2.3; lines of any length, RFC 8951).

    Raises:
        RefusedError: it is no base64.
    """
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except (ValueError, binascii.Error):
        raise no_certificates(whose) from None


def no_certificates(whose: str) -> RefusedError:
    """Whoever answered is no EST server, or has nothing to say."""
    return RefusedError(
        f"{whose} answers something else than base64 of a PKCS#7 with certificates.",
        hint="Check that the address is the one of an EST server (RFC 7030), and its log.",
    )


def retry_after_s(headers: Mapping[str, str], now: float) -> float:
    """The seconds of a Retry-After (RFC 9110, 10.2.3); an hour when it is missing or makes no sense.

    A date in it is by the clock of the server, which says in its Date what that shows; ``now`` where it does not.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        by_server = _moment(headers["date"]) if "date" in headers else now
        return max(_moment(text) - by_server, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return _WAIT_S


def _moment(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def request_body(pem: bytes) -> bytes:
    """A PKCS#10 request as EST wants it: base64 of its DER, in lines."""
    lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
    return b"\n".join(lines) + b"\n"
