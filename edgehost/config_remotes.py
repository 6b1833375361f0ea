"""Reads [[remotes]]: each with its transport, its mirrors, and what may not stand together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgehost.config_carriers import StickCarrier, carrier_problem
from edgehost.config_coap import CoapCarrier
from edgehost.config_settings import read_settings, settings_of
from edgehost.config_tables import TRANSPORTS, Carrier, MirrorSettings, MqttCarrier, RemoteSettings
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.spec_reader import SpecReader


def read_remote(table: SpecReader, folder: Path) -> RemoteSettings:
    """One remote; relative paths start at ``folder``."""
    carrier = _read_carrier(table, folder)
    mirrors = tuple(_read_mirror(each, folder, carrier) for each in table.table_list("mirrors"))
    remote = read_settings(RemoteSettings, table, folder, carrier=carrier, mirrors=mirrors)
    table.refuse_unknown()
    return remote


def require_remotes(remotes: tuple[RemoteSettings, ...]) -> None:
    """Check what no single key shows.

    Raises:
        InvalidConfigError: two have one name, or keys of a carrier do not go together.
    """
    seen: set[str] = set()
    for index, remote in enumerate(remotes):
        if remote.name in seen:
            raise InvalidConfigError(
                f"remotes[{index}].name is '{remote.name}', as another remote's.", hint="Give each its own."
            )
        seen.add(remote.name)
        for where, carrier in carriers_of(index, remote):
            if isinstance(carrier, CoapCarrier):
                carrier.options().require_consistent()
            if isinstance(carrier, MqttCarrier):
                _require_tls_files(where, carrier)


def carriers_of(index: int, remote: RemoteSettings) -> Iterator[tuple[str, Carrier]]:
    """Where in the configuration each of the remote's carriers is, and the carrier."""
    yield f"remotes[{index}]", remote.carrier
    for number, mirror in enumerate(remote.mirrors):
        yield f"remotes[{index}].mirrors[{number}]", mirror.carrier


def _read_carrier(table: SpecReader, folder: Path) -> Carrier:
    transport = table.choice("transport", TRANSPORTS)
    own = {each.name for each, _ in settings_of(TRANSPORTS[transport])}
    for name, other in TRANSPORTS.items():
        if name == transport:
            continue
        for each, _ in settings_of(other):
            if table.has(each.name) and each.name not in own:
                raise table.refused(
                    each.name,
                    f"belongs to transport '{name}'; this remote's is '{transport}'.",
                    hint="Drop the key, or change the transport.",
                )
    carrier = read_settings(TRANSPORTS[transport], table, folder)
    if (problem := carrier_problem(carrier)) is not None:
        key, what, hint = problem
        raise table.refused(key, what, hint=hint)
    return carrier


def _read_mirror(table: SpecReader, folder: Path, remote: Carrier) -> MirrorSettings:
    carrier = _read_carrier(table, folder)
    if isinstance(carrier, StickCarrier) or isinstance(remote, StickCarrier):
        raise table.refused(
            "transport",
            "is or mirrors a stick.",
            hint="Make the stick a remote of its own with the same root.",
        )
    mirror = read_settings(MirrorSettings, table, folder, carrier=carrier)
    table.refuse_unknown()
    return mirror


def _require_tls_files(where: str, broker: MqttCarrier) -> None:
    files = {"ca_file": broker.ca_file, "cert_file": broker.cert_file, "key_file": broker.key_file}
    for name, path in files.items():
        if path is not None and not broker.tls:
            raise InvalidConfigError(
                f"{where}.{name} is set, and {where}.tls is not.", hint="Set tls = true, or drop it."
            )
    if broker.key_file is not None and broker.cert_file is None:
        raise InvalidConfigError(
            f"{where}.key_file is set without {where}.cert_file.", hint="Name the certificate too."
        )
