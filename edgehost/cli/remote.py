"""Make and keep a repository of signed releases: its root of trust, its dates, its mirrors, its server.

  edgehost remote init fleet --root-key keys/root.key --online-key keys/online.key
  edgehost remote show fleet

A root that needs several holders waits in fleet/staged/root.json until enough of them have run
'edgehost remote sign'. NAME.key signs at once; NAME.pub only names the key. A team that 'edgehost remote
delegate' named publishes with its own key; what it signed is on offer after the next 'edgehost remote refresh'.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edgehost.cli.output import Output
from edgehost.cli.publishing_arguments import add_targets

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
        "refresh",
        help="take in what teams signed, and sign the dates anew; from a timer, well within the timestamp's 30 days",
    )
    _folder(refresh)
    _key(refresh, "online " + _KEY_HELP, required=True)
    add_targets(refresh)

    show = verbs.add_parser("show", allow_abbrev=False, help="keys, dates and releases on offer")
    _folder(show)

    withdraw = verbs.add_parser("withdraw", allow_abbrev=False, help="take a release off the offer")
    _folder(withdraw)
    withdraw.add_argument("release", metavar="NAME@VERSION", help="the release")
    _key(withdraw, "online " + _KEY_HELP, required=True)
    add_targets(withdraw)

    delegate = verbs.add_parser(
        "delegate", allow_abbrev=False, help="let a team sign its own components with its own key"
    )
    _folder(delegate)
    delegate.add_argument("--role", metavar="NAME", required=True, help="what the team is called")
    delegate.add_argument(
        "--paths",
        metavar="PATTERN",
        action="append",
        required=True,
        help="what it may sign, such as 'greeter/*' or '@firmware/valve/*'; may be repeated",
    )
    delegate.add_argument(
        "--team-key", metavar="FILE", action="append", required=True, help="the team's key; may be repeated"
    )
    delegate.add_argument(
        "--threshold", metavar="N", type=int, default=1, help="how many of them must sign; default 1"
    )
    _key(delegate, "online " + _KEY_HELP, required=True)
    add_targets(delegate)

    undelegate = verbs.add_parser("undelegate", allow_abbrev=False, help="let a team sign nothing any more")
    _folder(undelegate)
    undelegate.add_argument("--role", metavar="NAME", required=True, help="what the team is called")
    _key(undelegate, "online " + _KEY_HELP, required=True)
    add_targets(undelegate)

    mirror = verbs.add_parser("mirror", allow_abbrev=False, help="copy the repository to where hosts look")
    _folder(mirror)
    add_targets(mirror, required=True)

    serve = verbs.add_parser("serve", allow_abbrev=False, help="serve the repository by CoAP")
    _folder(serve)
    _serving(serve)

    oscore = verbs.add_parser(
        "oscore", allow_abbrev=False, help="make a CoAP reader's security context, and the server's for it"
    )
    oscore.add_argument("server_folder", metavar="FOLDER", type=Path, help="the server's contexts")
    oscore.add_argument("--client", metavar="NAME", required=True, help="who will use it, and nobody else")
    oscore.add_argument("--to", metavar="FOLDER", type=Path, required=True, help="the reader's context")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    if args.verb in {"serve", "oscore"}:
        from edgehost.cli import remote_serving  # noqa: PLC0415 - aiocoap, for those who ask

        return remote_serving.serve(args, out) if args.verb == "serve" else remote_serving.oscore(args, out)
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


def _serving(parser: argparse.ArgumentParser) -> None:
    def file(flag: str, text: str) -> None:
        parser.add_argument(flag, metavar="FILE", type=Path, help=text)

    parser.add_argument("--name", metavar="NAME", help="the remote's name there; default: the folder's name")
    parser.add_argument(
        "--coap",
        metavar="HOST[:PORT]",
        default="127.0.0.1",
        help="UDP and TCP, 5683; any but loopback needs credentials, or --open (default: %(default)s)",
    )
    parser.add_argument(
        "--tls-port", metavar="PORT", type=int, default=5684, help="TLS over TCP, with --cert"
    )
    file("--cert", "the server's certificate, PEM")
    file("--cert-key", "its key, PEM")
    file("--client-ca", "who signs the certificates of those who may read")
    parser.add_argument(
        "--oscore",
        metavar="FOLDER",
        type=Path,
        help="contexts of those who may read, see 'edgehost remote oscore'",
    )
    parser.add_argument(
        "--open", action="store_true", help="anybody may read: what is served is signed, and no secret"
    )
