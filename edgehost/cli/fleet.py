"""See and command the hosts of a fleet over MQTT, from any machine that reaches the broker.

  edgehost fleet ls
  edgehost fleet deploy telemetry@1.2.0 --label site=north --only-outdated
  edgehost fleet logs telemetry --host pump-7
  edgehost fleet sign restart --host pump-7 -o restart.json

Broker, fleet and key come from --broker, --fleet and --key, or from ~/.config/edgehost/fleet.toml ($EDGEHOST_FLEET):

  broker = "broker.local:8883"
  fleet = "yard"
  key = "ada.key"
  tls = true

A host that is away finds its command when it comes back, until the command expires (--valid): it is shown as asleep, and
the exit code is 3 when there are any. Ctrl-C leaves what was given; 'edgehost fleet cancel ID' takes it back.
"""

from __future__ import annotations

import argparse
from typing import Final

from edgehost.cli.flash_options import add_baud, add_manner
from edgehost.cli.output import Output
from edgehost.cli.usage import whole
from edgehost.domain.rollout_messages import MOST_SEQUENCE, MOST_WAVE

#: Verbs of a rollout, and what they say.
ORDERS: Final = {
    "approve": "let the wave that waits begin",
    "halt": "nobody begins any more",
    "resume": "go on in spite of a halt or of what failed",
    "abort": "halt, and whoever has it goes back",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _ls(verbs)
    _commands(verbs)
    _orders(verbs)
    _sign(verbs)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    from edgehost.cli import fleet_verbs  # noqa: PLC0415 - MQTT is slow to import

    return fleet_verbs.run_verb(args, out)


def _ls(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ls = verbs.add_parser(
        "ls", allow_abbrev=False, help="the hosts, whether they are there, and what they run"
    )
    _access(ls)
    _selection(ls)
    ls.add_argument("--component", metavar="NAME", help="show which version of it runs where")
    keys = verbs.add_parser(
        "keys", allow_abbrev=False, help="what hosts sign their reports with, as a deployment lists it"
    )
    _access(keys)
    _selection(keys)
    watch = verbs.add_parser(
        "watch", allow_abbrev=False, help="follow a deployment over the hosts, or all that changes"
    )
    _access(watch)
    _selection(watch)
    watch.add_argument("deployment", metavar="DEPLOYMENT", nargs="?", help="until every host is done with it")
    watch.add_argument("--timeout", metavar="S", type=float, default=3600.0, help="seconds; default: an hour")


def _commands(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    deploy = _command(verbs, "deploy", "bring a component live, or have hosts look for a deployment now")
    deploy.add_argument(
        "target", metavar="NAME[@VERSION]", help="a component; with --deployment its name is a deployment's"
    )
    deploy.add_argument("--deployment", action="store_true", help="NAME is a deployment")
    deploy.add_argument(
        "--only-outdated",
        action="store_true",
        help="pass over hosts that have this version, or the newest of the fleet",
    )
    rollback = _command(verbs, "rollback", "bring the release before back")
    rollback.add_argument("component", metavar="COMPONENT", nargs="?", help="left out with --device")
    restart = _command(verbs, "restart", "replace a component's instances, or start the host again")
    restart.add_argument("component", metavar="COMPONENT", nargs="?")
    call = _command(verbs, "call", "call an export of a component")
    call.add_argument("component", metavar="COMPONENT")
    call.add_argument("function", metavar="FUNCTION")
    call.add_argument("payload", metavar="PAYLOAD", nargs="?", help="JSON, or a text as it is")
    logs = _command(verbs, "logs", "what components logged, or the host")
    logs.add_argument("component", metavar="COMPONENT", nargs="?")
    logs.add_argument("--of-host", action="store_true", help="the host's own lines")
    logs.add_argument("--lines", metavar="N", type=int, default=200)
    for each in (deploy, rollback, restart, call, logs):
        each.add_argument("--device", metavar="DEVICE", default="", help="on this device behind each host")
    config = _command(verbs, "config", "propose a configuration, show the one that runs, or go back")
    what = config.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--file", metavar="FILE", help="the whole edgehost.toml; it must prove itself on each host"
    )
    what.add_argument("--show", action="store_true", help="print the one that runs")
    what.add_argument("--revert", action="store_true", help="go back to the good one before")
    diag = _command(verbs, "diag", "a tar.gz of what the host knows of itself, without secrets")
    diag.add_argument("--to", metavar="DIR", default=".", help="where HOST-diag.tar.gz goes; default: here")
    flash = _command(verbs, "flash", "write signed firmware to a board on a line of the host")
    flash.add_argument("board", metavar="BOARD")
    flash.add_argument("firmware", metavar="FIRMWARE[@VERSION]")
    flash.add_argument(
        "--line", metavar="LINE", default="", help="where the board is; needed when several could be it"
    )
    add_baud(flash)
    add_manner(flash, dry_run="only the plan")
    _command(verbs, "readmit", "count on a host in rollouts again that was set aside for its failures")
    cancel = verbs.add_parser("cancel", allow_abbrev=False, help="take a command back, as far as it can be")
    _access(cancel)
    _selection(cancel)
    cancel.add_argument("id", metavar="ID", help="the command's id, as it was printed")
    cancel.add_argument("--timeout", metavar="S", type=float, default=30.0)


def _orders(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for verb, meaning in ORDERS.items():
        order = verbs.add_parser(verb, allow_abbrev=False, help=f"of a rollout: {meaning}")
        _access(order)
        order.add_argument("deployment", metavar="DEPLOYMENT")
        order.add_argument(
            "--sequence",
            metavar="N",
            type=whole(1, MOST_SEQUENCE),
            help="default: the newest that hosts report",
        )
        order.add_argument(
            "--ahead",
            action="store_true",
            help="give it although no host reports such a sequence: it may still come to them",
        )
        order.add_argument(
            "--timeout",
            metavar="S",
            type=float,
            default=10.0,
            help="seconds to wait for what hosts say to it",
        )
        if verb == "approve":
            order.add_argument(
                "--wave",
                metavar="N",
                type=whole(0, MOST_WAVE),
                help="from 0, and those before it; default: the first that waits",
            )
        if verb == "resume":
            order.add_argument(
                "--wave",
                metavar="N",
                type=whole(0, MOST_WAVE),
                help="in spite of who failed, or is away, in the waves up to it; default: all that failed",
            )


def _sign(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sign = verbs.add_parser("sign", allow_abbrev=False, help="write a signed command for 'mosquitto_pub -f'")
    _access(sign)
    sign.add_argument(
        "operation",
        metavar="OPERATION",
        help="deploy, rollback, restart, call, logs, config, diag, flash, readmit",
    )
    sign.add_argument(
        "--host", metavar="HOST", action="append", default=[], help="may be repeated; without it every host"
    )
    sign.add_argument("--arguments", metavar="JSON", default="{}", help='such as {"component": "telemetry"}')
    sign.add_argument("--id", metavar="ID", default="", help="default: a random one")
    sign.add_argument("--valid", metavar="TIME", default="1h", help="such as 30m, 12h, 7d; default: 1h")
    sign.add_argument("-o", "--output", metavar="FILE", required=True)


def _command(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, allow_abbrev=False, help=summary)
    _access(parser)
    _selection(parser)
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=600.0, help="seconds to wait for hosts that are there"
    )
    parser.add_argument(
        "--valid",
        metavar="TIME",
        default="1h",
        help="hosts that are away may wake so much later; default: 1h",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="give the command and do not wait for the outcome"
    )
    return parser


def _selection(parser: argparse.ArgumentParser) -> None:
    which = parser.add_argument_group(
        "which hosts", "--host, --class and --label narrow each other: a host must meet all that is said"
    )
    which.add_argument(
        "--host", metavar="HOST", action="append", default=[], help="by name; may be repeated: any of them"
    )
    which.add_argument(
        "--class", metavar="CLASS", dest="device_class", default="", help="of this device class"
    )
    which.add_argument(
        "--label",
        metavar="K=V",
        action="append",
        default=[],
        help="with this label; may be repeated: all of them",
    )
    which.add_argument("--all", action="store_true", help="every host")


def _access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("the fleet")
    access.add_argument("--broker", metavar="HOST[:PORT]", default="")
    access.add_argument("--fleet", metavar="NAME", default="")
    access.add_argument(
        "--key", metavar="FILE", default="", help="the operator's key, from 'edgehost keygen'"
    )
    access.add_argument(
        "--unsigned", action="store_true", help="sign nothing: the broker is declared trusted"
    )
    access.add_argument("--tls", action="store_true")
    access.add_argument("--ca-file", metavar="FILE", default="")
    access.add_argument("--username", metavar="NAME", default="")
    access.add_argument("--password-file", metavar="FILE", default="")
