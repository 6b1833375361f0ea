"""What ``edgehost remote serve`` and ``edgehost remote oscore`` do."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Final

from edgehost.cli.command_table import OK
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import NotFoundError
from edgehost.domain.names import NAME
from remotes.coap_options import COAP_PORT, CoapServing
from remotes.coap_oscore import make_contexts
from remotes.coap_server import open_coap_server
from remotes.served_repository import open_served_folder

_MOST_PORT: Final = 65_535
#: What the settings of the server are called on the command line.
_FLAGS: Final = {
    "cert_file": "--cert",
    "key_file": "--cert-key",
    "client_ca_file": "--client-ca",
    "oscore_folder": "--oscore",
    "open": "--open",
}


def serve(args: argparse.Namespace, out: Output) -> int:
    """Serve until a signal comes."""
    folder = args.folder.expanduser()
    name = args.name or folder.resolve().name
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name of a remote: give one with --name")
    if not (folder / "metadata").is_dir():
        raise NotFoundError(f"There is no repository in {folder}.", hint="'edgehost remote init' makes one.")
    host, port = _host_port(args.coap)
    serving = CoapServing(
        host=host,
        port=port,
        tls_port=args.tls_port,
        cert_file=args.cert,
        key_file=args.cert_key,
        client_ca_file=args.client_ca,
        oscore_folder=args.oscore,
        open=args.open,
        called=lambda name: _FLAGS.get(name, name),
    )
    asyncio.run(_serve(folder, name, serving, out))
    return OK


def oscore(args: argparse.Namespace, out: Output) -> int:
    """Make a pair of security contexts."""
    make_contexts(args.server_folder.expanduser(), args.client, args.to.expanduser())
    out.result(
        {"server": str(args.server_folder / args.client), "client": str(args.to)},
        f"{args.server_folder / args.client} stays with the server.",
        f"Move {args.to} to {args.client}, by a way that you trust: it holds the secret. A copy must never be used.",
    )
    return OK


async def _serve(folder: Path, name: str, serving: CoapServing, out: Output) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        open_served_folder(folder) as repository,
        open_coap_server({name: repository}, serving) as served,
    ):
        addresses = [f"{each}/remote/{name}" for each in served.addresses]
        out.item({"serving": addresses}, f"Serving {folder} at {', '.join(addresses)}")
        await stopping.wait()


def _host_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]" in text else (text, "", "")
    if text.endswith("]"):
        host, colon, port = text, "", ""
    if colon and not (port.isdecimal() and int(port) <= _MOST_PORT):
        raise UsageError(f"'{text}' is no address: use HOST or HOST:PORT")
    return host.strip("[]"), int(port) if colon else COAP_PORT
