"""How to reach a repository over HTTP(S)."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.domain.errors import InvalidConfigError
from remotes.client_tls import client_tls_context
from remotes.durable_file import read_bounded

_SECRET_MOST_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What all requests to one server have in common, as its user configures it."""

    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None  # a client certificate; its key may be in the same file
    key_file: Path | None = None
    token_file: Path | None = None  # first line: sent as a bearer token
    username: str = ""  # with password_file: basic authentication
    password_file: Path | None = None
    proxy: str = ""  # http://HOST:PORT; "": none, whatever the environment says
    connections: int = 4  # as many as the remote fetches chunks at once
    connect_timeout_s: float = 10.0  # names, TCP, the proxy and TLS together
    answer_timeout_s: float = 20.0  # until the head of an answer is here
    progress_timeout_s: float = 15.0  # without a byte of a body that is on its way
    #: A body that comes slower than this on the whole is cut: GPRS manages more, a server that drips does not.
    slowest_bytes_per_s: int = 1024

    @property
    def has_credentials(self) -> bool:
        """Whether requests carry a secret."""
        return self.token_file is not None or bool(self.username)

    def authorization(self) -> str | None:
        """The value of the header. Blocking.

        Raises:
            InvalidConfigError: the file cannot be read, or holds no usable line.
        """
        if self.token_file is not None:
            return f"Bearer {_secret(self.token_file)}"
        if self.username:
            password = "" if self.password_file is None else _secret(self.password_file)
            return f"Basic {base64.b64encode(f'{self.username}:{password}'.encode()).decode()}"
        return None

    def tls_context(self, *, with_certificate: bool) -> ssl.SSLContext:
        """Certificate and host name are always checked. Blocking.

        Raises:
            InvalidConfigError: a file cannot be read.
        """
        cert_file = self.cert_file if with_certificate else None
        return client_tls_context(ca_file=self.ca_file, cert_file=cert_file, key_file=self.key_file)


def _secret(file: Path) -> str:
    content = read_bounded(file, _SECRET_MOST_BYTES)
    if content is None:
        raise InvalidConfigError(
            f"{file} cannot be read.", hint=f"It must be a plain file of at most {_SECRET_MOST_BYTES} bytes."
        )
    line = content.decode("utf-8", "replace").partition("\n")[0].strip()
    if not line or not line.isprintable() or not line.isascii():
        raise InvalidConfigError(
            f"The first line of {file} is no secret that HTTP can carry.", hint="Use printable ASCII."
        )
    return line
