"""The keys that lead to an MQTT broker, with one meaning for remotes, services, the fleet and upstream systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from edgehost.config_settings import FilePath, Flag, Text, Whole
from edgehost.domain.names import ADDRESS

BrokerHost: TypeAlias = Annotated[str, Text("the broker", ADDRESS)]
BrokerPort: TypeAlias = Annotated[int, Whole("0: 1883, or 8883 with tls", 0, 65_535)]
#: What a broker brings is believed there, so it must be the right one; releases are signed, and say so themselves.
BelievedTls: TypeAlias = Annotated[bool, Flag("encrypt, and check who the broker is")]
BrokerCaFile: TypeAlias = Annotated[
    Path | None, FilePath("who signs the broker's certificate; empty: the system's list", optional=True)
]
OwnCertFile: TypeAlias = Annotated[
    Path | None, FilePath("this host's own certificate for the broker; empty: none", optional=True)
]
OwnKeyFile: TypeAlias = Annotated[Path | None, FilePath("the key of cert_file; empty: none", optional=True)]
BrokerUser: TypeAlias = Annotated[str, Text("empty: none")]
BrokerPasswordFile: TypeAlias = Annotated[
    Path | None,
    FilePath("file whose first line is the password, so that this file holds no secret", optional=True),
]
