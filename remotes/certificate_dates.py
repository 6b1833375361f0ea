"""How long the certificates in a PEM file hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from edgehost.domain.errors import InvalidConfigError
from remotes.durable_file import read_bounded

#: The whole list of Mozilla's authorities has about 250 KiB.
_MOST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CertificateDates:
    """One certificate of a file."""

    subject: str
    begins: datetime
    ends: datetime
    is_authority: bool


def certificate_dates(path: Path) -> tuple[CertificateDates, ...]:
    """Every certificate in the file, in order.

    Raises:
        InvalidConfigError: it cannot be read, or holds none.
    """
    from cryptography import x509  # noqa: PLC0415 - some MB, for whoever asks

    content = read_bounded(path, _MOST_BYTES)
    if content is None:
        raise InvalidConfigError(f"{path} cannot be read.", hint="It must be a plain file with PEM inside.")
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as problem:
        raise InvalidConfigError(
            f"{path} holds no certificate: {problem}.", hint="It must be PEM ('-----BEGIN CERTIFICATE-----')."
        ) from None
    return tuple(
        CertificateDates(
            each.subject.rfc4514_string()[:200],
            each.not_valid_before_utc,
            each.not_valid_after_utc,
            _is_authority(each),
        )
        for each in found
    )


def _is_authority(certificate: object) -> bool:
    from cryptography import x509  # noqa: PLC0415 - as above

    if not isinstance(certificate, x509.Certificate):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
