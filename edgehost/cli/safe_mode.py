"""Turn safe mode on or off: in it the host runs without its components, and can still be reached.

A host enters it by itself after three starts in a row that ended uncleanly before it was well, and leaves it by itself
when a new configuration or release arrives, or after an hour, doubled each time.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.domain.errors import UnavailableError

#: A host that was just told to restart in place answers again within this time.
_PATIENCE_S: Final = 3.0
_KNOCK_S: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("state", choices=("on", "off"), help="'edgehost run --safe' starts in it")


def run(args: argparse.Namespace, out: Output) -> int:
    """Ask the running host, which restarts in place."""
    client = host_client(args)
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            client.control("POST", "safe-mode", body={"state": args.state})
            break
        except UnavailableError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_KNOCK_S)
    out.result({"safe_mode": args.state == "on"}, f"Safe mode is {args.state}; the host restarts.")
    return OK
