"""[fleet]: what a host shows of itself at a broker, and from whom it takes commands there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_brokers import (
    BelievedTls,
    BrokerCaFile,
    BrokerPasswordFile,
    BrokerPort,
    BrokerUser,
    OwnCertFile,
    OwnKeyFile,
)
from edgehost.config_settings import Choice, Flag, Number, Text, Texts, Whole, read_settings
from edgehost.domain.errors import InvalidConfigError, RefusedError
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_topics import require_fleet
from edgehost.domain.names import ADDRESS, EVENT_PATTERN, NAME, worded
from edgehost.domain.spec_reader import SpecReader

EVERYTHING: Final = "*"
#: Beside the operations: what is said to rollouts.
ROLLOUT: Final = "rollout"
_NAME_OR_NONE: Final = worded(rf"|{NAME.pattern}", "the name of a fleet, or empty")
_ADDRESS_OR_NONE: Final = worded(rf"(?:{ADDRESS.pattern})?", "a host's name or address, or empty")
_MAY: Final = worded(
    rf"\*|{'|'.join(Operation)}|{ROLLOUT}", f"'*' or one of {', '.join(Operation)} and {ROLLOUT}"
)
_COMPONENT: Final = worded(rf"\*|{NAME.pattern}", "'*' or a component's name")
_HEX_KEY_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """[[fleet.operators]]: a key, and what its holder may do."""

    key: Annotated[str, Text("the '.pub' file of 'edgehost keygen', or the public key that it prints")]
    may: Annotated[tuple[str, ...], Texts("operations; '*': all", _MAY)] = ()
    components: Annotated[
        tuple[str, ...], Texts("components that they may be about; '*': all, and the host itself", _COMPONENT)
    ] = (EVERYTHING,)
    name: Annotated[str, Text("in messages, beside the key's id")] = ""
    public: bytes = field(default=b"", kw_only=True)  # 32 bytes, when the key is given in hex
    file: Path | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """[fleet]: a broker where this host shows how it is and takes commands."""

    name: Annotated[str, Text("the fleet's name, a step of every topic; empty: no fleet", _NAME_OR_NONE)] = ""
    host: Annotated[str, Text("the broker", _ADDRESS_OR_NONE)] = ""
    tcp_port: BrokerPort = 0
    tls: BelievedTls = False
    ca_file: BrokerCaFile = None
    cert_file: OwnCertFile = None
    key_file: OwnKeyFile = None
    username: BrokerUser = ""
    password_file: BrokerPasswordFile = None
    mqtt_version: Annotated[str, Choice("auto tries 5 and falls back to 3.1.1", ("auto", "5", "3.1.1"))] = (
        "auto"
    )
    commands: Annotated[
        str,
        Choice(
            "signed: only what an operator below has signed; trusted-broker: whatever the broker brings; off: none",
            ("off", "signed", "trusted-broker"),
        ),
    ] = "off"
    measure_s: Annotated[
        float,
        Number("figures are published, and the host says that it is still there, this often", 1, 86_400),
    ] = 60.0
    events: Annotated[
        tuple[str, ...], Texts("patterns of events that are published; none: none", EVENT_PATTERN)
    ] = (
        "edgehost.release.*",
        "edgehost.remote.*",
        "edgehost.fleet.*",
        "edgehost.breaker.*",
        "edgehost.certificate.*",
    )
    events_per_s: Annotated[float, Number("of these at most; the others are counted", 0.1, 1000)] = 5.0
    bundle_kib: Annotated[
        int, Whole("a signed bundle may come as a message of this size; 0: none may", 0, 64 * 1024)
    ] = 2048
    settle_s: Annotated[
        float,
        Number(
            "at a broker that does not know it, a host waits so long for others before it joins a rollout",
            0,
            3600,
        ),
    ] = 30.0
    sign_reports: Annotated[
        bool,
        Flag("sign what this host tells of deployments with a key of its own, made at the next start"),
    ] = False
    set_aside_failures: Annotated[
        int,
        Whole("rollouts set this host aside when so many deployments failed on it; 0: they never do", 0, 32),
    ] = 3
    set_aside_days: Annotated[float, Number("failures within so many days count", 0.01, 365)] = 7.0
    operators: tuple[OperatorSettings, ...] = field(default=(), kw_only=True)

    @property
    def enabled(self) -> bool:
        """Whether the host belongs to a fleet."""
        return bool(self.name)


def read_fleet(table: SpecReader, folder: Path) -> FleetSettings:
    """The table.

    Raises:
        InvalidConfigError: it contradicts itself.
    """
    operators = tuple(_read_operator(each, folder) for each in table.table_list("operators"))
    fleet = read_settings(FleetSettings, table, folder, operators=operators)
    table.refuse_unknown()
    if bool(fleet.name) != bool(fleet.host):
        raise table.refused("host", "goes with fleet.name, and only with that.", hint="Set both, or neither.")
    if fleet.name:
        try:
            require_fleet(fleet.name)
        except RefusedError as problem:
            raise InvalidConfigError(f"fleet.name: {problem.message}", hint=problem.hint) from None
    if fleet.commands == "signed" and not operators:
        raise table.refused(
            "commands",
            "is 'signed', and there are no [[fleet.operators]].",
            hint="Name at least one key, or set it to 'off'.",
        )
    if (fleet.cert_file is None) != (fleet.key_file is None):
        raise table.refused("cert_file", "goes with fleet.key_file.", hint="Set both, or neither.")
    return fleet


def _read_operator(table: SpecReader, folder: Path) -> OperatorSettings:
    settings = read_settings(OperatorSettings, table, folder)
    table.refuse_unknown()
    public, file = b"", None
    if len(settings.key) == _HEX_KEY_DIGITS and all(
        digit in "0123456789abcdefABCDEF" for digit in settings.key
    ):
        public = bytes.fromhex(settings.key)
    else:
        file = folder / Path(settings.key).expanduser()
    if not settings.may:
        raise table.refused("may", "is empty.", hint='Name operations, such as ["deploy", "rollback"].')
    return replace(settings, public=public, file=file)
