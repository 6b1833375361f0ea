"""Create many records from a file of NDJSON (a line each) or CBOR (RFC 8742, an item each).

  edgehost import telemetry readings.ndjson            stop at the first line that is refused
  edgehost import telemetry readings.cbor --on-error skip
  edgehost export telemetry - | ssh other edgehost import telemetry -

A line is a record as 'edgehost export' writes it, or the bare data of one. A record whose id is stored with the
same data already is left alone, so an import that broke off can simply be run again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import quote

from edgehost.cli.bulk_format import MEDIA_TYPES, add_format, format_of
from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.cli.progress import Progress
from edgehost.domain.cbor_sequence import CborItems
from edgehost.domain.errors import NotFoundError, RefusedError, TooLargeError

#: Sent in one request: the host reports after each, so this is how far a stop can overshoot.
_PART_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 64 * 1024
#: No host takes a longer record.
_MOST_ITEM_BYTES: Final = 64 * 1024 * 1024
#: A part holds thousands of records, and each may ask a component.
_PART_TIMEOUT_S: Final = 600.0
#: Told one by one; the others are counted.
_MOST_ERRORS: Final = 1000
_COUNTED: Final = ("lines", "created", "replaced", "unchanged", "failed")


class _Part(NamedTuple):
    content: bytes
    read_bytes: int  # of the file, up to its end
    lines: int  # as above


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("model", metavar="MODEL", help="the model's endpoint")
    parser.add_argument("file", metavar="FILE", help="what to read; '-': standard input")
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="at a line that is refused: stop (the default), or go on with the others",
    )
    parser.add_argument(
        "--replace", action="store_true", help="give stored records of the same id the new data"
    )
    add_format(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Send the file in parts, and add the reports up."""
    form = format_of(args)
    host = host_client(args)
    path = f"{host.root}/models/{quote(args.model, '')}/bulk"
    query = {"on_error": args.on_error, **({"replace": "true"} if args.replace else {})}
    total: Counter[str] = Counter()
    errors: list[dict[str, Any]] = []
    stopped = False
    with _opened(args.file) as file, Progress(f"importing {args.model}", out) as progress:
        size = _size_of(args.file)
        before = 0
        for part in _parts(file, form):
            answer = host.request(
                "POST",
                path,
                query=query,
                content=part.content,
                headers={"Content-Type": MEDIA_TYPES[form]},
                timeout_s=_PART_TIMEOUT_S,
            ).json()
            errors += [{**error, "line": error["line"] + before} for error in answer["errors"]]
            del errors[_MOST_ERRORS:]
            total.update({name: answer[name] for name in _COUNTED})
            progress.moved_to(part.read_bytes, size)
            before = part.lines
            if stopped := answer["stopped"]:
                break
    report = {**{name: total[name] for name in _COUNTED}, "stopped": stopped, "errors": errors}
    told = [f"line {error['line']}: {error['message']}" for error in errors]
    out.result(report, *told, _sentence(args.model, total, stopped=stopped))
    return FAILED if total["failed"] or stopped else OK


def _sentence(model: str, total: Counter[str], *, stopped: bool) -> str:
    parts = [f"{total['created']} created"]
    parts += [f"{total[name]} {name}" for name in ("replaced", "unchanged", "failed") if total[name]]
    return f"{model}: {', '.join(parts)}{'; stopped before the end' if stopped else ''}."


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {name}.") from None
    except OSError as problem:
        raise RefusedError(f"{name} cannot be read: {problem.strerror}.") from None


def _size_of(name: str) -> int:
    path = Path(name)
    return path.stat().st_size if name != "-" and path.is_file() else 0


def _parts(file: BinaryIO, form: str) -> Iterator[_Part]:
    """Whole lines or items, about a part's size at a time."""
    read, lines = 0, 0
    for read, more, content in _cut(file, form):
        lines += more
        yield _Part(content, read, lines)


def _cut(file: BinaryIO, form: str) -> Iterator[tuple[int, int, bytes]]:
    splitter = CborItems(_MOST_ITEM_BYTES) if form == "cbor" else None
    part, rest, read, lines = bytearray(), bytearray(), 0, 0
    while chunk := file.read(_READ_BYTES):
        read += len(chunk)
        if splitter is not None:
            for item in splitter.feed(chunk):
                part += item
                lines += 1
        else:
            head, end, tail = chunk.rpartition(b"\n")
            if end:
                part += rest + head + end
                lines += head.count(b"\n") + 1
                rest = bytearray()
            rest += tail
            if len(rest) > _MOST_ITEM_BYTES:
                raise TooLargeError("A line is longer than any record.", hint="Is the file NDJSON?")
        if len(part) >= _PART_BYTES:
            yield read, lines, bytes(part)
            part, lines = bytearray(), 0
    if splitter is not None:
        splitter.finish()
    part += rest
    if part:
        yield read, lines, bytes(part)
