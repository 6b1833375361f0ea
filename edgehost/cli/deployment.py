"""Say what hosts should run, sign it, and see what comes of it.

  edgehost deployment check site.toml --repository fleet
  edgehost deployment publish fleet site.toml --key keys/online.key --to mqtt://localhost/fleet
  edgehost deployment plan site.toml        what it would change on this host
  edgehost deployment ls                    what this host holds, and how it stands

A deployment holds until one of its name with a larger sequence comes. One without components lets go of all.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edgehost.cli.output import Output
from edgehost.cli.publishing_arguments import add_online_keys, add_targets

_KEEP: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    check = verbs.add_parser("check", allow_abbrev=False, help="check a deployment.toml")
    _file(check)
    check.add_argument(
        "--repository", metavar="FOLDER", type=Path, help="see that it offers what the deployment wants"
    )

    publish = verbs.add_parser("publish", allow_abbrev=False, help="sign it as the next of its name")
    publish.add_argument("folder", metavar="REPOSITORY", type=Path, help="the repository's folder")
    _file(publish)
    publish.add_argument(
        "--elsewhere", action="store_true", help="hosts have components from another remote: do not look here"
    )
    publish.add_argument(
        "--keep", metavar="N", type=int, default=_KEEP, help=f"of its name on offer; default {_KEEP}"
    )
    _signing(publish)

    withdraw = verbs.add_parser(
        "withdraw", allow_abbrev=False, help="take it off the offer; hosts that have it keep to it"
    )
    withdraw.add_argument("folder", metavar="REPOSITORY", type=Path, help="the repository's folder")
    withdraw.add_argument("name", metavar="NAME@SEQUENCE", help="the deployment")
    _signing(withdraw)

    show = verbs.add_parser("show", allow_abbrev=False, help="the document that a repository signs")
    show.add_argument("folder", metavar="REPOSITORY", type=Path, help="the repository's folder")
    show.add_argument("name", metavar="NAME[@SEQUENCE]", help="the deployment; the newest of its name")

    verbs.add_parser("ls", allow_abbrev=False, help="what the running host holds, and how it stands")

    plan = verbs.add_parser(
        "plan", allow_abbrev=False, help="what the running host would change, and why; changes nothing"
    )
    plan.add_argument("file", metavar="FILE.toml", type=Path, nargs="?", help="default: what the host holds")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.cli import deployment_verbs  # noqa: PLC0415 - the other commands need none of it

    return deployment_verbs.VERBS[args.verb](args, out)


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the deployment")


def _signing(parser: argparse.ArgumentParser) -> None:
    add_online_keys(parser)
    add_targets(parser)
