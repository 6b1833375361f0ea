"""The running instances: which component and release, which process, how busy, how much memory."""

from __future__ import annotations

import argparse

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.cli.status import object_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing."""


def run(args: argparse.Namespace, out: Output) -> int:
    """Ask, and print."""
    document = host_client(args).control("GET", "instances")
    instances = document["instances"]
    out.result(document, *(object_table(instances) if instances else ["No instance runs."]))
    return OK
