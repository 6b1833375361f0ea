"""What an EST server answers: base64, certs-only PKCS#7, and how long to wait."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from edgehost.domain.errors import RefusedError

#: A chain of large RSA certificates has about 10 KiB.
ANSWER_MOST_BYTES: Final = 128 * 1024
_WAIT_S: Final = 3600.0


def certificates_of(body: bytes, whose: str) -> bytes:
    """The certificates of a certs-only answer (RFC 7030, 4.1.3 and 4.2.3), PEM.

    Raises:
        RefusedError: it is something else, or empty.
    """
    try:
        content = base64.b64decode(b"".join(body.split()), validate=True)
        # A parser of DER reads lengths of its own: what is longer than the bound was refused before.
        found = pkcs7.load_der_pkcs7_certificates(content)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise RefusedError(
            f"{whose} answers something else than base64 of a PKCS#7 with certificates.",
            hint="Check that the address is the one of an EST server (RFC 7030).",
        ) from None
    if not found:
        raise RefusedError(f"{whose} answers without a certificate.", hint="See its log.")
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in found)


def retry_after_s(headers: Mapping[str, str], now: float) -> float:
    """The seconds of a Retry-After (RFC 9110, 10.2.3); an hour when it is missing or makes no sense."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return _WAIT_S


def request_body(pem: bytes) -> bytes:
    """A PKCS#10 request as EST wants it: base64 of its DER, in lines."""
    lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
    return b"\n".join(lines) + b"\n"
