"""Read records of a model, or any path of the running host's API.

  edgehost get                                  the models that are served
  edgehost get telemetry                        its records, oldest first
  edgehost get telemetry 01ABC                  one record
  edgehost get telemetry load_1m__ge=2 --desc   records that match, newest first
  edgehost get /api/openapi.json                any path

A condition is FIELD=VALUE or FIELD__OP=VALUE with OP one of eq, ne, lt, le, gt, ge, prefix, in, nin,
contains, exists. sort=-load_1m,id gives an order, q=WORDS searches the full-text fields, fields=a,b shows a part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from edgehost.cli.command_table import OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, table
from edgehost.cli.usage import UsageError

_PAGE: Final = 100
_MOST_IN_A_PAGE: Final = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("what", metavar="MODEL|/PATH", nargs="?", help="a model's endpoint, or a path")
    parser.add_argument(
        "rest", metavar="ID|CONDITION", nargs="*", default=[], help="one record, or conditions"
    )
    parser.add_argument("--limit", metavar="N", type=int, help=f"records at most; default {_PAGE}")
    parser.add_argument("--all", action="store_true", help="every record that matches, page by page")
    parser.add_argument("--desc", action="store_true", help="newest first")


def run(args: argparse.Namespace, out: Output) -> int:
    """Read, and print."""
    if args.limit is not None and args.limit < 1:
        raise UsageError("--limit must be 1 or more.")
    host = host_client(args)
    if args.what is None:
        _show_models(host, out)
    elif args.what.startswith("/"):
        _show_path(host, args.what, out)
    elif args.rest and "=" not in args.rest[0]:
        if len(args.rest) > 1:
            raise UsageError(f"an ID stands alone; '{args.rest[1]}' is too much.")
        record = host.request(
            "GET", f"{_models(host)}/{quote(args.what, '')}/{quote(args.rest[0], '')}"
        ).json()
        out.result(record, json.dumps(record, indent=2, ensure_ascii=False))
    else:
        _show_records(host, args, out)
    return OK


def _show_models(host: HostClient, out: Output) -> None:
    document = host.request("GET", _models(host)).json()
    rows = [
        (model["endpoint"], model["component"], model["version"], " ".join(model["commands"]), model["href"])
        for model in document["models"]
    ]
    headings = ("endpoint", "component", "version", "commands", "path")
    out.result(document, *(table(headings, rows) if rows else ["No model is live."]))


def _show_path(host: HostClient, path: str, out: Output) -> None:
    answer = host.request("GET", path)
    if answer.content_type.endswith("json") and answer.body:
        document = answer.json()
        out.result(document, json.dumps(document, indent=2, ensure_ascii=False))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(answer.body)
        sys.stdout.buffer.flush()


def _show_records(host: HostClient, args: argparse.Namespace, out: Output) -> None:
    shown = 0
    for record in _records(host, args):
        shown += 1
        data = json.dumps(record["data"], ensure_ascii=False)
        out.item(record, f"{record['id']}  {moment(record['updated_at'])}  {data}")
    if not shown:
        out.note("No record matches.")


def _records(host: HostClient, args: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    query: dict[str, str | int] = {}
    for condition in args.rest:
        name, equals, value = condition.partition("=")
        if not equals or not name:
            raise UsageError(f"'{condition}' is no condition; write FIELD=VALUE.")
        query[name] = value
    left = None if args.all and args.limit is None else args.limit or _PAGE
    if args.desc:
        query["order"] = "desc"
    while left is None or left > 0:
        query["limit"] = _MOST_IN_A_PAGE if left is None else min(left, _MOST_IN_A_PAGE)
        page = host.request("GET", f"{_models(host)}/{quote(args.what, '')}", query=query).json()
        yield from page["records"]
        left = None if left is None else left - len(page["records"])
        if not page["next_cursor"]:
            return
        query["cursor"] = page["next_cursor"]


def _models(host: HostClient) -> str:
    return f"{host.root}/models"
