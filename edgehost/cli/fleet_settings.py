"""Whose fleet, at which broker, with which key: from the command line, the environment and the operator's own file."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.fleet.command_signing import OperatorKey
from edgehost.cli.passphrase import known_passphrase
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.fleet_topics import FleetTopics, require_fleet
from edgehost.domain.spec_reader import SpecReader
from remotes.durable_file import read_bounded
from remotes.mqtt_options import MqttOptions

FILE_VARIABLE: Final = "EDGEHOST_FLEET"
_MOST_BYTES: Final = 64 * 1024
_PORT, _TLS_PORT = 1883, 8883


@dataclass(frozen=True, slots=True)
class FleetAccess:
    """How an operator reaches a fleet. ``key_file`` is None for a broker that is declared trusted."""

    topics: FleetTopics
    options: MqttOptions
    key_file: Path | None

    def key(self) -> OperatorKey | None:
        """The key, ready to sign; asks for its passphrase.

        Raises:
            InvalidConfigError: it is no key.
        """
        if self.key_file is None:
            return None
        from remotes.keys import load_signer, needs_passphrase  # noqa: PLC0415 - not for those who only look

        passphrase = known_passphrase(self.key_file) if needs_passphrase(self.key_file) else ""
        signer = load_signer(self.key_file, passphrase=passphrase)
        return OperatorKey(
            signer.public_key.keyid, lambda content: bytes.fromhex(signer.sign(content).signature)
        )


@dataclass(frozen=True, slots=True)
class _Said:
    """What the file says, all of it read whatever the command line says."""

    broker: str
    fleet: str
    key: str
    tls: bool
    ca_file: str
    cert_file: str
    key_file: str
    username: str
    password_file: str

    @classmethod
    def of(cls, table: SpecReader, folder: Path) -> _Said:
        """The file's; its relative paths start at its own ``folder``, wherever the command is given.

        Raises:
            InvalidConfigError: it says something that is unknown, or of another kind.
        """

        def path(name: str) -> str:
            text = table.text(name, default="", longest=4096)
            return str(folder / Path(text).expanduser()) if text else ""

        said = cls(
            broker=table.text("broker", default=""),
            fleet=table.text("fleet", default=""),
            key=path("key"),
            tls=table.flag("tls", default=False),
            ca_file=path("ca_file"),
            cert_file=path("cert_file"),
            key_file=path("key_file"),
            username=table.text("username", default=""),
            password_file=path("password_file"),
        )
        table.refuse_unknown()
        return said


def settings_path() -> Path:
    """``$EDGEHOST_FLEET``, else ``fleet.toml`` in the user's configuration folder."""
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "edgehost" / "fleet.toml"


def fleet_access(args: argparse.Namespace) -> FleetAccess:
    """What the command line says, and the file where it says nothing.

    Raises:
        UsageError: broker or fleet are named by neither.
        InvalidConfigError: the file cannot be used.
    """
    path = settings_path()
    try:
        said = _Said.of(SpecReader(_read(path), error=InvalidConfigError), path.parent)
    except InvalidConfigError as problem:
        raise InvalidConfigError(f"{path}: {problem.message}", hint=problem.hint) from None
    broker, fleet, tls = args.broker or said.broker, args.fleet or said.fleet, args.tls or said.tls
    if not broker or not fleet:
        missing = "--broker" if not broker else "--fleet"
        why = "does not say it either" if path.exists() else "is not there to say it"
        raise UsageError(f"{missing} is missing, and {path} {why}")
    require_fleet(fleet)
    host, port = _address(broker, tls=tls)
    return FleetAccess(
        FleetTopics(fleet),
        MqttOptions(
            host=host,
            tcp_port=port,
            tls=tls,
            ca_file=_file(args.ca_file or said.ca_file),
            cert_file=_file(said.cert_file),
            key_file=_file(said.key_file),
            username=args.username or said.username,
            password_file=_file(args.password_file or said.password_file),
        ),
        None if args.unsigned else _file(args.key or said.key),
    )


def _address(broker: str, *, tls: bool) -> tuple[str, int]:
    host, colon, port = broker.rpartition(":")
    if not colon:
        return broker, _TLS_PORT if tls else _PORT
    if not port.isdigit() or not 0 < int(port) < 65_536:  # noqa: PLR2004 - what TCP has
        raise UsageError(f"'{broker}' is no HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def _file(text: str) -> Path | None:
    """A path; a relative one starts here."""
    return Path(text).expanduser() if text else None


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    content = read_bounded(path, _MOST_BYTES)
    try:
        return tomllib.loads((content or b"\xff").decode())
    except (ValueError, RecursionError) as problem:
        raise InvalidConfigError(f"It is no TOML: {problem}.") from None
