"""How to reach a broker."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edgehost.domain.errors import InvalidConfigError
from remotes.client_tls import client_tls_context
from remotes.durable_file import read_bounded

_PASSWORD_MOST_BYTES: Final = 4096
#: For whoever only mirrors: taking a state that is there for none costs them bytes, not a refusal. The round trip of
#: the subscription comes on top, so that a slow line has more.
MIRROR_MISSING_TIMEOUT_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """One broker, as its user configures it."""

    host: str
    tcp_port: int = 1883
    username: str = ""
    password_file: Path | None = None
    password: str = field(default="", repr=False)  # prefer the file
    tls: bool = False
    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None  # with key_file: a client certificate
    key_file: Path | None = None
    mqtt_version: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: str = ""  # "": a random one; two clients with one id throw each other out
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 10.0  # of one fetch or publish, short outages included
    missing_timeout_s: float = 2.0  # without a timestamp to compare with, silence for so long means "none"
    backoff_base_s: float = 0.25  # full jitter: a pause of 0 to base * 2^attempt seconds
    backoff_most_s: float = 30.0
    topic_root: str = "edgehost/remote"
    will_topic: str = ""  # "": no will; else the broker publishes this, retained, when the connection is lost
    will_payload: bytes = b""
    will_retain: bool = True
    inbox: int = 64  # messages between the socket and whoever reads them; more are dropped
    packet_most_bytes: int = 0  # 0: the largest file of a repository

    def read_password(self) -> str | None:
        """The password; read at each connection, so that a changed file needs no restart.

        Raises:
            InvalidConfigError: the file cannot be read.
        """
        if self.password_file is None:
            return self.password or None
        content = read_bounded(self.password_file, _PASSWORD_MOST_BYTES)
        if content is None:
            raise InvalidConfigError(
                f"The password file {self.password_file} cannot be read.",
                hint=f"It must be a plain file of at most {_PASSWORD_MOST_BYTES} bytes.",
            )
        return content.decode("utf-8", "replace").rstrip("\r\n") or None

    def tls_context(self) -> ssl.SSLContext | None:
        """Certificate and host name are always checked.

        Raises:
            InvalidConfigError: a file cannot be read.
        """
        if not self.tls:
            return None
        return client_tls_context(
            self.host, ca_file=self.ca_file, cert_file=self.cert_file, key_file=self.key_file
        )
