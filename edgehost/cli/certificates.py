"""The client certificates that the host renews by itself ([[certificates]]): see how they are, renew one now.

  edgehost certificates ls
  edgehost certificates renew broker --dry-run

'ls' works without a running host too, from what is on the disk. It ends with 1 when a certificate needs somebody.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.host_config import host_client, host_config
from edgehost.cli.output import Output, table
from edgehost.cli.progress import Progress
from edgehost.domain.certificate_life import day
from edgehost.domain.errors import NotFoundError, UnavailableError

#: An authority may be a program that is slow, twice, with a trial at each broker.
_TIMEOUT_S: Final = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser(
        "ls", allow_abbrev=False, help="each with its end, its renewal, and what went wrong last"
    )
    renew = verbs.add_parser("renew", allow_abbrev=False, help="renew one now, however long it holds")
    renew.add_argument("name", metavar="NAME", help="as in [[certificates]]")
    renew.add_argument(
        "--dry-run", action="store_true", help="ask the authority who it is, and have nothing signed"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what the verb says."""
    return _list(args, out) if args.verb == "ls" else _renew(args, out)


def _list(args: argparse.Namespace, out: Output) -> int:
    found = _found(args)
    rows = []
    for each in found:
        ends, renews = (day(each[key]) if each[key] else "" for key in ("ends", "renews_at"))
        rows.append((each["name"], each["standing"], ends, renews, each["subject"]))
        if each["state"] != "ok":
            rows += [("", "", "", "", each["detail"]), ("", "", "", "", f"-> {each['hint']}")]
    out.result(
        {"certificates": list(found)}, *table(("name", "standing", "ends", "renewed from", "subject"), rows)
    )
    return FAILED if any(each["state"] == "failed" for each in found) else OK


def _found(args: argparse.Namespace) -> Sequence[Mapping[str, Any]]:
    try:
        found: Sequence[Mapping[str, Any]] = host_client(args).control("GET", "certificates")["certificates"]
    except UnavailableError:
        config = host_config(args)
        if not config.certificates:
            return []
        from edgehost.composition.certificates import certificates_on_disk  # noqa: PLC0415 - for a host that is down

        return asyncio.run(certificates_on_disk(config))
    except NotFoundError:
        return []  # it renews none
    return found


def _renew(args: argparse.Namespace, out: Output) -> int:
    host = host_client(args)
    mode = "dry-run" if args.dry_run else "renew"
    with Progress("asking the authority" if args.dry_run else f"renewing {args.name}", out):
        order = {"certificate": args.name, "mode": mode}
        done = host.control("POST", "renew-certificate", body=order, timeout_s=_TIMEOUT_S)
    if args.dry_run:
        lines = [f"{args.name}: {done['would']}.", f"{done['detail']}."]
    else:
        lines = [
            f"{args.name} holds until {day(done['ends'])} and is renewed from {day(done['renews_at'])} on."
        ]
        if done["state"] != "ok":
            lines += [done["detail"], f"-> {done['hint']}"]
    out.result(done, *lines)
    return FAILED if done["state"] == "failed" and not args.dry_run else OK
