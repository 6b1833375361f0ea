"""What commands that publish have in common on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_online_keys(parser: argparse.ArgumentParser) -> None:
    """With what it is signed."""
    parser.add_argument(
        "--key", metavar="FILE", action="append", required=True, help="online key; may be repeated"
    )


def add_targets(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Where it is mirrored to; ``mirror_targets.read_target`` reads each."""
    parser.add_argument(
        "--to",
        metavar="TARGET",
        action="append",
        default=[],
        required=required,
        help="mqtt[s]://[USER@]HOST[:PORT]/NAME, the password in $EDGEHOST_MQTT_PASSWORD, or a folder; may be repeated",
    )
    parser.add_argument("--ca-file", metavar="FILE", type=Path, help="who signed the broker's certificate")
