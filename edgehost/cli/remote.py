"""Make and keep a repository of signed releases: its root of trust, its dates, its mirrors.

  edgehost remote init fleet --root-key keys/root.key --online-key keys/online.key
  edgehost remote show fleet

A root that needs several holders waits in fleet/staged/root.json until enough of them have run
'edgehost remote sign'. NAME.key signs at once; NAME.pub only names the key.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edgehost.cli.output import Output

_KEY_HELP: Final = "key that signs now; may be repeated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    init = verbs.add_parser("init", allow_abbrev=False, help="make a repository")
    _folder(init)
    _root_options(init, required=True)
    _key(init, "another " + _KEY_HELP)

    sign = verbs.add_parser(
        "sign", allow_abbrev=False, help="sign the root that waits for signatures, or a copy of it in a file"
    )
    _folder(sign, metavar="REPOSITORY|FILE")
    _key(sign, _KEY_HELP)
    sign.add_argument(
        "--merge", metavar="FILE", action="append", default=[], help="bring in signatures of a copy"
    )
    sign.add_argument(
        "--old-root", metavar="FILE", type=Path, help="of a copy: the root before it, when its holder signs"
    )

    rotate = verbs.add_parser(
        "rotate", help="replace keys or move the root's expiry on; the old root vouches for it"
    )
    _folder(rotate)
    _root_options(rotate, required=False)
    _key(rotate, "another " + _KEY_HELP)

    refresh = verbs.add_parser(
        "refresh", help="sign the dates anew; from a timer, well within the timestamp's 30 days"
    )
    _folder(refresh)
    _key(refresh, "online " + _KEY_HELP, required=True)
    _targets(refresh)

    show = verbs.add_parser("show", allow_abbrev=False, help="keys, dates and releases on offer")
    _folder(show)

    withdraw = verbs.add_parser("withdraw", allow_abbrev=False, help="take a release off the offer")
    _folder(withdraw)
    withdraw.add_argument("release", metavar="NAME@VERSION", help="the release")
    _key(withdraw, "online " + _KEY_HELP, required=True)
    _targets(withdraw)

    mirror = verbs.add_parser("mirror", allow_abbrev=False, help="copy the repository to where hosts look")
    _folder(mirror)
    _targets(mirror, required=True)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.cli import remote_verbs  # noqa: PLC0415 - TUF and MQTT are slow to import

    return remote_verbs.VERBS[args.verb](args, out)


def _folder(parser: argparse.ArgumentParser, metavar: str = "REPOSITORY") -> None:
    parser.add_argument("folder", metavar=metavar, type=Path, help="the repository's folder")


def _root_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    given = "" if required else "; without one they stay as they are"
    parser.add_argument(
        "--root-key",
        metavar="FILE",
        action="append",
        required=required,
        help=f"key of the root of trust, kept offline; may be repeated{given}",
    )
    parser.add_argument(
        "--threshold",
        metavar="N",
        type=int,
        help="how many of them must sign a root; default: more than half",
    )
    parser.add_argument(
        "--online-key",
        metavar="FILE",
        action="append",
        required=required,
        help=f"key that signs releases and dates; may be repeated{given}",
    )


def _key(parser: argparse.ArgumentParser, text: str, *, required: bool = False) -> None:
    parser.add_argument("--key", metavar="FILE", action="append", default=[], required=required, help=text)


def _targets(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--to",
        metavar="TARGET",
        action="append",
        default=[],
        required=required,
        help="mqtt://HOST/NAME, mqtts://HOST/NAME or a folder; may be repeated",
    )
    parser.add_argument("--ca-file", metavar="FILE", type=Path, help="who signed the broker's certificate")
