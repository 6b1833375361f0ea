"""What ``doctor`` asks of the world: the running host, its address, brokers, folders, pinned roots."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from edgehost.cli.finding import Finding, State, good, note, wrong
from edgehost.cli.host_client import HostClient
from edgehost.config import Config
from edgehost.config_carriers import HttpCarrier, StickCarrier, TreeCarrier
from edgehost.config_coap import CoapCarrier
from edgehost.config_tables import FolderCarrier, MqttCarrier, RemoteSettings
from edgehost.config_upstream import HomeAssistantOptions
from edgehost.domain.errors import EdgehostError, UnavailableError

#: A broker that takes longer than this to answer is too far away for anything that follows.
_ANSWER_S: Final = 3.0
#: A host's own words for how it is.
_STATES: Final = {"ok": State.GOOD, "warning": State.NOTE, "failed": State.WRONG}
_MOST_ROOT_BYTES: Final = 131_072


def check_host(config: Config) -> Iterator[Finding]:
    """The running host answers at its socket; without one, its address must be free."""
    host = HostClient(config.unix_socket, root=config.api.root)
    try:
        status = host.control("GET", "status", timeout_s=_ANSWER_S)
        findings = host.control("GET", "doctor", timeout_s=_ANSWER_S)["findings"]
    except UnavailableError:
        yield note(
            "host", f"not running (nobody answers at {config.unix_socket}).", "Start it: 'edgehost run'."
        )
        yield from _check_address(config)
    except TimeoutError:
        yield wrong(
            "host",
            f"it took the connection at {config.unix_socket} but does not answer.",
            "Look at its log; restart it if it stays like this.",
        )
    except EdgehostError as problem:
        yield wrong("host", problem.message, problem.hint)
    else:
        yield good("host", f"'{status['name']}' answers at {config.unix_socket}")
        for each in findings:
            subject = f"host: {each['check']}"
            yield Finding(subject, _STATES.get(each["state"], State.NOTE), each["detail"], each["hint"])


def _check_address(config: Config) -> Iterator[Finding]:
    if not config.api.listen or not config.api.tcp_port:
        return
    address = f"{config.api.listen}:{config.api.tcp_port}"
    try:
        found = socket.getaddrinfo(
            config.api.listen, config.api.tcp_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, target = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as problem:
        yield wrong(
            "address",
            f"{address} cannot be taken: {problem.strerror}.",
            "Stop what uses it, or set [api] tcp_port (0 takes any free one).",
        )
    else:
        yield good("address", f"{address} is free")


def check_remotes(config: Config) -> Iterator[Finding]:
    """Each remote's root can be read, and its carrier answers."""
    if not config.remotes:
        yield note(
            "remotes", "none is configured: nothing is fetched.", "Add [[remotes]] to the configuration."
        )
    for remote in config.remotes:
        subject = f"remote {remote.name}"
        yield _check_root(subject, remote)
        match remote.carrier:
            case MqttCarrier():
                from edgehost.cli.broker_check import check_broker  # noqa: PLC0415 - paho, for those who have a broker

                yield check_broker(subject, remote.carrier, "[[remotes]]")
            case FolderCarrier():
                yield _check_folder(subject, remote.carrier)
            case HttpCarrier() | TreeCarrier():
                from edgehost.cli.carrier_checks import check_web  # noqa: PLC0415 - h11 only where it is used

                yield check_web(subject, remote.carrier)
            case StickCarrier():
                from edgehost.cli.carrier_checks import check_stick  # noqa: PLC0415 - likewise

                yield check_stick(subject, remote.carrier)
            case CoapCarrier():
                from edgehost.cli.coap_check import check_coap  # noqa: PLC0415 - aiocoap, for those who ask

                yield check_coap(subject, remote.name, remote.carrier)


def check_fleet(config: Config) -> Iterator[Finding]:
    """The fleet's broker takes the login, and the operators' keys can be read."""
    fleet = config.fleet
    if not fleet.enabled:
        return
    from edgehost.cli.broker_check import check_broker  # noqa: PLC0415 - as above

    yield check_broker(f"fleet {fleet.name}", fleet, "[fleet]")
    if fleet.commands == "trusted-broker":
        yield note(
            f"fleet {fleet.name}",
            "whoever the broker lets publish may command this host.",
            'Set [fleet] commands = "signed" unless the broker is yours alone.',
        )
    from edgehost.adapters.fleet.operator_keys import load_operators  # noqa: PLC0415 - only for hosts in a fleet

    try:
        load_operators(fleet.operators)
    except EdgehostError as problem:
        yield wrong(f"fleet {fleet.name}", problem.message, problem.hint)
    else:
        yield good(f"fleet {fleet.name}", f"commands: {fleet.commands}, {len(fleet.operators)} operators")


def check_upstreams(config: Config) -> Iterator[Finding]:
    """Each upstream system's broker takes the login, and who may press its buttons is said."""
    for name, each in config.upstream.items():
        from edgehost.cli.broker_check import check_broker  # noqa: PLC0415 - as above

        yield check_broker(f"upstream {name}", each.carrier, f"[upstream.{name}]")
        if isinstance(each.options, HomeAssistantOptions) and each.options.buttons:
            yield note(
                f"upstream {name}",
                "whoever the broker lets publish may press its buttons.",
                "Set buttons = false unless the broker is yours alone.",
            )


def _check_root(subject: str, remote: RemoteSettings) -> Finding:
    advice = "Copy the publisher's root.json there; compare it with 'edgehost remote show'."
    try:
        with remote.root.open("rb") as file:
            signed = json.loads(file.read(_MOST_ROOT_BYTES))["signed"]
        expires = datetime.fromisoformat(signed["expires"])
        if signed["_type"] != "root":
            return wrong(subject, f"{remote.root} is no root: it is '{str(signed['_type'])[:40]}'.", advice)
    except OSError as problem:
        return wrong(subject, f"root {remote.root}: {problem.strerror}.", advice)
    except (ValueError, KeyError, TypeError, RecursionError):
        return wrong(subject, f"{remote.root} is no root.json.", advice)
    if expires < datetime.now(UTC):
        return note(
            subject,
            f"root {remote.root} expired on {expires:%Y-%m-%d}; it still leads to its successors.",
            "Copy the newest root.json when the remote cannot be checked.",
        )
    return good(subject, f"root {remote.root}, version {signed.get('version')}, until {expires:%Y-%m-%d}")


def _check_folder(subject: str, carrier: FolderCarrier) -> Finding:
    if not (carrier.path / "metadata" / "timestamp.json").is_file():
        return wrong(
            subject,
            f"{carrier.path} holds no repository.",
            "Plug the disk in, or make it there with 'edgehost remote init'.",
        )
    return good(subject, f"{carrier.path} holds a repository")
