"""Writes a signed command into a file, for whoever publishes it with mosquitto's client."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Final

from edgehost.adapters.fleet.command_signing import new_command
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.command_table import OK
from edgehost.cli.fleet_commands import payload_of, seconds
from edgehost.cli.fleet_settings import FleetAccess
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_topics import COMMAND_ID
from edgehost.domain.names import NAME, words_for
from edgehost.domain.suggestion import did_you_mean
from remotes.mqtt_options import MqttOptions

_MQTT_PORT: Final = 1883


def sign_command(args: argparse.Namespace, out: Output, access: FleetAccess) -> int:
    """Write it, and say how it is published.

    Raises:
        UsageError: there is no key, no such operation, or hosts would not take the arguments, the id or a name.
    """
    key = access.key()
    if key is None:
        raise UsageError("a key is needed to sign: --key FILE")
    try:
        operation = Operation(args.operation)
    except ValueError:
        hint = did_you_mean(args.operation, Operation)
        raise UsageError(f"'{args.operation}' is no operation. {hint}") from None
    try:
        arguments = json.loads(args.arguments)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise UsageError(f"'{args.arguments}' is no JSON object")
    if args.id and not COMMAND_ID.fullmatch(args.id):
        raise UsageError(f"'{args.id}' is not {words_for(COMMAND_ID)}")
    for host in args.host:
        if not NAME.fullmatch(host):
            raise UsageError(f"'{host}' is no host's name: it is not {words_for(NAME)}")
    command = new_command(
        operation,
        arguments,
        fleet=access.topics.fleet,
        audience=args.host or ["*"],
        now=SystemClock().now(),
        life_s=seconds(args.valid),
        command_id=args.id,
    )
    Path(args.output).write_bytes(payload_of(command, key))
    hosts = args.host or ["HOST"]
    topics = [access.topics.host(host).command(operation, command.id) for host in hosts]
    publish = " ".join(("mosquitto_pub", *_as_mosquitto(access.options), "-q 1 -r"))
    out.result(
        {"file": args.output, "id": command.id, "topics": topics, "expires_at": command.expires_at},
        f"Wrote {args.output}, signed by {key.key_id[:16]}, for {', '.join(args.host) or 'every host'}.",
        *(f"{publish} -t {topic} -f {shlex.quote(args.output)}" for topic in topics),
    )
    return OK


def _as_mosquitto(broker: MqttOptions) -> list[str]:
    """How mosquitto's clients reach the same broker, for a shell."""
    words = [f"-h {shlex.quote(broker.host)}"]
    if broker.tcp_port != _MQTT_PORT:
        words.append(f"-p {broker.tcp_port}")
    if broker.tls and broker.ca_file is None:
        words.append("--tls-use-os-certs")
    elif broker.tls:
        words.append(f"--cafile {shlex.quote(str(broker.ca_file))}")
    if broker.username:
        words.append(f"-u {shlex.quote(broker.username)}")
    if broker.password_file is not None:
        words.append(f'-P "$(cat {shlex.quote(str(broker.password_file))})"')
    return words
