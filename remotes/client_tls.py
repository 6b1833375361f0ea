"""TLS as a client of a broker or server: certificate and host name are always checked."""

from __future__ import annotations

import ssl
from pathlib import Path

from edgehost.domain.errors import InvalidConfigError


def client_tls_context(
    whose: str = "", *, ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """``ca_file`` None: the system's authorities; ``whose`` is named in the error. Blocking.

    Raises:
        InvalidConfigError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            load_pair(context, cert_file, key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise unusable_tls_files(whose, error) from error
    return context


def load_pair(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """A certificate and its key, also while they are being replaced by others. Blocking.

    Raises:
        OSError, ValueError: they cannot be used, and may have been left half loaded.
    """
    try:
        context.load_cert_chain(cert_file, key_file, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason != "KEY_VALUES_MISMATCH":
            raise
        # The pair was replaced between the reading of its two files; a pair that never fits fails again.
        context.load_cert_chain(cert_file, key_file, password=no_passphrase)


def unusable_tls_files(whose: str, error: Exception) -> InvalidConfigError:
    """What is wrong with them."""
    return InvalidConfigError(
        f"The TLS files{f' for {whose}' if whose else ''} cannot be used: {error}.",
        hint="They must be PEM, the key without a passphrase.",
    )


def no_passphrase() -> str:
    """OpenSSL would ask at the terminal."""
    return ""
