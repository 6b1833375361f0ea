"""How to reach a CoAP server, and how to be one."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgehost.domain.errors import InvalidConfigError
from remotes.client_tls import client_tls_context, load_pair, unusable_tls_files
from remotes.listener_certificate import ListenerCertificate

COAP_PORT: Final = 5683
COAPS_PORT: Final = 5684
#: First segment of every path: ``/remote/<name>/metadata/<file>`` and ``/remote/<name>/chunk/<sha256>``.
PATH_ROOT: Final = "remote"
_ALPN: Final = ["coap"]  # RFC 8323 section 8.2


@dataclass(frozen=True, slots=True)
class CoapOptions:
    """One server, as a host configures it."""

    host: str
    port: int = 0  # 0: 5683, with tls 5684
    over: Literal["auto", "tcp", "udp"] = "auto"  # auto: TCP, and UDP where that is refused
    tls: bool = False  # coaps+tcp
    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None  # with key_file: a client certificate
    key_file: Path | None = None
    oscore_folder: Path | None = None  # this client's security context
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 20.0  # of silence, or of fewer bytes than least_bytes_per_s
    least_bytes_per_s: float = 64.0  # a server that is slower is as good as none
    look_s: float = 60.0  # besides the push, which may be lost without a sign
    tcp_again_s: float = 600.0  # after falling back to UDP
    backoff_base_s: float = 0.25
    backoff_most_s: float = 30.0

    @property
    def address_port(self) -> int:
        """The port that is meant."""
        return self.port or (COAPS_PORT if self.tls else COAP_PORT)

    def require_consistent(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidConfigError.
        """
        if self.tls and self.over == "udp":
            raise InvalidConfigError(
                "CoAP over UDP has no TLS here.",
                hint="Use over = 'tcp' with tls, or an oscore_folder over UDP.",
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise InvalidConfigError(
                "A client certificate needs both cert_file and key_file.", hint="Name both, or neither."
            )
        if not self.tls and (self.ca_file or self.cert_file):
            raise InvalidConfigError(
                "ca_file and cert_file are for TLS, which is off.", hint="Set tls = true, or drop them."
            )

    def tls_context(self) -> ssl.SSLContext | None:
        """Certificate and host name are always checked.

        Raises:
            InvalidConfigError: a file cannot be read.
        """
        if not self.tls:
            return None
        context = client_tls_context(
            self.host, ca_file=self.ca_file, cert_file=self.cert_file, key_file=self.key_file
        )
        context.set_alpn_protocols(_ALPN)
        return context


@dataclass(frozen=True, slots=True)
class CoapServing:
    """Where repositories are served by CoAP, and to whom."""

    host: str = "127.0.0.1"
    port: int = COAP_PORT  # UDP and TCP; 0 takes any free one
    tls_port: int = COAPS_PORT  # with cert_file: TLS over TCP
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None  # who signs clients' certificates; without: anybody may use TLS
    oscore_folder: Path | None = None  # one folder for each client, see remotes.coap_oscore
    open: bool = False  # no credential is asked for; what is served is signed and public
    idle_timeout_s: float = 300.0
    most_connections: int = 64
    most_observers: int = 128
    called: Callable[[str], str] = str  # how people know a field, for messages

    @property
    def has_plain(self) -> bool:
        """Whether the ports without TLS are opened: where they are open to all, or ask for OSCORE."""
        return self.is_open or self.oscore_folder is not None

    @property
    def is_open(self) -> bool:
        """Whether a request without credentials is answered."""
        credentials = self.client_ca_file is not None or self.oscore_folder is not None
        return self.open or (is_loopback(self.host) and not credentials)

    def require_consistent(self) -> None:
        """Refuse to be open to the network by accident.

        Raises:
            InvalidConfigError.
        """
        if (self.cert_file is None) != (self.key_file is None):
            files = f"{self.called('cert_file')} and {self.called('key_file')}"
            raise InvalidConfigError(f"TLS needs both {files}.", hint="Name both, or neither.")
        if self.client_ca_file is not None and self.cert_file is None:
            raise InvalidConfigError(
                "Client certificates are checked over TLS, which is off.",
                hint=f"Set {self.called('cert_file')} and {self.called('key_file')}.",
            )
        if not self.is_open and self.client_ca_file is None and self.oscore_folder is None:
            raise InvalidConfigError(
                f"CoAP would be served at {self.host}, which other machines reach, without credentials.",
                hint=f"Set {self.called('client_ca_file')} or {self.called('oscore_folder')}; "
                f"or {self.called('open')} if anybody may read the signed releases.",
            )

    def tls_context(self) -> ssl.SSLContext | None:
        """Shows at each handshake what is in the files then; None without a certificate. Blocking.

        Raises:
            InvalidConfigError: a file cannot be read.
        """
        if self.cert_file is None:
            return None
        files = (self.cert_file, self.key_file, self.client_ca_file)
        return ListenerCertificate([each for each in files if each is not None], self._tls_as_of_now).context

    def _tls_as_of_now(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            if self.cert_file is not None:
                load_pair(context, self.cert_file, self.key_file)
            if self.client_ca_file is not None:
                context.load_verify_locations(self.client_ca_file)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise unusable_tls_files(self.host, error) from error
        context.set_alpn_protocols(_ALPN)
        return context


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return host in {"localhost", "::1"} or host.startswith("127.")
