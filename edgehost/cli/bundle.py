"""Put a repository into one file, for sites without a network; look into one, or give it to a host.

  edgehost bundle create fleet site.edgehost-bundle --key keys/online.key --valid-days 365
  edgehost bundle show /media/stick/site.edgehost-bundle --root root.json
  edgehost bundle apply site.edgehost-bundle

A host with a remote of transport "stick" takes bundles from sticks by itself. A bundle holds for as long as its
signatures do, 30 days unless --valid-days has it signed for longer; what runs keeps running after that. Whoever gets
hold of a bundle can show it to other hosts as the newest state for that long: not longer than the site needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehost.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    create = verbs.add_parser("create", allow_abbrev=False, help="make a bundle")
    create.add_argument(
        "source",
        metavar="SOURCE",
        help="a repository's folder or a mirror of it, or http(s)://..., mqtt://HOST/NAME; with --from-host: a remote's name",
    )
    create.add_argument(
        "file", metavar="FILE", type=Path, help="the bundle; its name ends in .edgehost-bundle"
    )
    create.add_argument(
        "--component",
        metavar="NAME",
        action="append",
        default=[],
        help="only this one's releases; may be repeated; default: all",
    )
    create.add_argument(
        "--from-host",
        action="store_true",
        help="of what the host of this configuration trusts and has on its shelf; SOURCE is its remote",
    )
    create.add_argument(
        "--key",
        metavar="FILE",
        action="append",
        default=[],
        help="online key, for --valid-days; may be repeated",
    )
    create.add_argument(
        "--valid-days",
        metavar="N",
        type=int,
        help="sign the dates anew, to hold for so long; the root's own end is the limit",
    )
    create.add_argument("--ca-file", metavar="FILE", type=Path, help="who signed the server's certificate")

    show = verbs.add_parser("show", allow_abbrev=False, help="what a bundle holds, and whether it holds")
    show.add_argument("file", metavar="FILE", type=Path, help="the bundle")
    show.add_argument(
        "--root",
        metavar="FILE",
        type=Path,
        help="the root.json that hosts have: check the signatures from it",
    )

    apply = verbs.add_parser(
        "apply", allow_abbrev=False, help="give a bundle to the host of this configuration"
    )
    apply.add_argument("file", metavar="FILE", type=Path, help="the bundle")
    apply.add_argument("--remote", metavar="NAME", help="which, where several are of transport 'stick'")
    apply.add_argument(
        "--timeout",
        metavar="S",
        type=float,
        default=60.0,
        help="wait so long for the host's report; default 60",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.cli import bundle_verbs  # noqa: PLC0415 - TUF is slow to import

    return bundle_verbs.VERBS[args.verb](args, out)
