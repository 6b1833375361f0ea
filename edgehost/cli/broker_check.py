"""What ``doctor`` asks of an MQTT broker: the way a host will go, once, under a name of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import replace
from typing import Final

from edgehost.cli.finding import Finding, good, wrong
from edgehost.composition.broker_options import broker_options
from edgehost.config_fleet import FleetSettings
from edgehost.config_tables import MqttCarrier
from edgehost.config_upstream import BrokerSettings
from edgehost.domain.errors import EdgehostError
from remotes.mqtt_login import login_refusal
from remotes.mqtt_options import MqttOptions

#: A broker that takes longer than this for one step is too far away for anything that follows.
_ANSWER_S: Final = 3.0


def check_broker(subject: str, broker: MqttCarrier | FleetSettings | BrokerSettings, table: str) -> Finding:
    """The broker answers, is who its certificate says, and takes the login."""
    options = replace(broker_options(broker), connect_timeout_s=_ANSWER_S)
    if isinstance(broker, FleetSettings) and broker.mqtt_version in {"5", "3.1.1"}:
        options = replace(options, mqtt_version="5" if broker.mqtt_version == "5" else "3.1.1")
    address = f"{options.host}:{options.tcp_port}"
    try:
        return _reached(subject, options, address, table) or _logged_in(subject, options, address, table)
    except EdgehostError as problem:
        return wrong(subject, problem.message, problem.hint or f"Check {table}.")


def _reached(subject: str, options: MqttOptions, address: str, table: str) -> Finding | None:
    """What keeps a connection from being made; None when nothing does."""
    tls = options.tls_context()
    try:
        with socket.create_connection((options.host, options.tcp_port), timeout=_ANSWER_S) as connection:
            if tls is not None:
                tls.wrap_socket(connection, server_hostname=options.host).close()
    except ssl.SSLError as problem:
        return wrong(
            subject, f"{address} does not speak TLS as expected: {problem.reason}.", "Check tls and ca_file."
        )
    except OSError as problem:
        return wrong(
            subject,
            f"the broker {address} does not answer: {problem.strerror or problem}.",
            f"Check {table} host and tcp_port, the network and the broker; what runs keeps running.",
        )
    return None


def _logged_in(subject: str, options: MqttOptions, address: str, table: str) -> Finding:
    # The finding says it; without a handler the library's warnings would go to standard error as well.
    logging.getLogger("remotes").addHandler(logging.NullHandler())
    refusal = asyncio.run(login_refusal(options))
    if refusal:
        who = f"'{options.username}'" if options.username else "a host without a user name"
        return wrong(
            subject,
            f"the broker {address} does not let {who} in: {refusal}.",
            f"Check {table} username and password_file (or cert_file), and whom the broker lets in.",
        )
    return good(subject, f"the broker {address} answers and takes the login")
