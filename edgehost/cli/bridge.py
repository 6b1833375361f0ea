"""The devices behind this host: see how they are, call and deploy to the components that run there.

  edgehost bridge ls
  edgehost bridge call lamp device-blink set '{"on": true}'
  edgehost bridge deploy lamp device-blink@1.0.0

A device is a microcontroller with edgehost's firmware, described under [devices.NAME] in the configuration.
"""

from __future__ import annotations

import argparse

from edgehost.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("ls", allow_abbrev=False, help="every device: board, what runs, online and since when")
    _device(verbs.add_parser("show", allow_abbrev=False, help="one device: identity, budgets, telemetry"))
    call = _device(verbs.add_parser("call", allow_abbrev=False, help="call a function of its component"))
    call.add_argument("component", metavar="COMPONENT")
    call.add_argument("function", metavar="FUNCTION")
    call.add_argument("input", metavar="INPUT", nargs="?", default="", help="what it gets; JSON as a rule")
    watch = _device(verbs.add_parser("watch", allow_abbrev=False, help="follow its telemetry"))
    watch.add_argument("--count", metavar="N", type=int, help="stop after so many")
    deploy = _device(
        verbs.add_parser("deploy", allow_abbrev=False, help="check that a component fits, send it, switch")
    )
    deploy.add_argument("component", metavar="COMPONENT[@VERSION]")
    _device(verbs.add_parser("rollback", allow_abbrev=False, help="run the component before"))
    _device(verbs.add_parser("log", allow_abbrev=False, help="the last lines that it kept"))
    _device(verbs.add_parser("reset", allow_abbrev=False, help="let it begin anew"))


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.cli import bridge_verbs  # noqa: PLC0415 - not for --help

    return bridge_verbs.VERBS[args.verb](args, out)


def _device(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("device", metavar="DEVICE", help="its name in the configuration")
    return parser
