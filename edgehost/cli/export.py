"""Write the records of a model to a file, as NDJSON (a line each) or CBOR (RFC 8742, an item each).

  edgehost export telemetry readings.ndjson
  edgehost export telemetry readings.cbor load_1m__ge=2 sort=load_1m
  edgehost export telemetry -                          to standard output

Conditions are those of 'edgehost get'. The file appears when it is whole.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from edgehost.cli.bulk_format import MEDIA_TYPES, add_format, format_of
from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output, size
from edgehost.cli.progress import Progress
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import RefusedError, StorageFullError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("model", metavar="MODEL", help="the model's endpoint")
    parser.add_argument("file", metavar="FILE", help="what to write; '-': standard output")
    parser.add_argument(
        "conditions", metavar="CONDITION", nargs="*", default=[], help="only the records that match"
    )
    add_format(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Write what the host streams."""
    form = format_of(args)
    host = host_client(args)
    query = [("format", form)]
    for condition in args.conditions:
        name, equals, value = condition.partition("=")
        if not equals or not name:
            raise UsageError(f"'{condition}' is no condition; write FIELD=VALUE.")
        query.append((name, value))
    path = f"{host.root}/models/{quote(args.model, '')}"
    written = 0
    with host.download(path, query=query, accept=MEDIA_TYPES[form]) as parts:
        if args.file == "-":
            for part in parts:
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            return OK
        with _whole_file(Path(args.file)) as file, Progress(f"exporting {args.model}", out):
            for part in parts:
                written += file.write(part)
    out.result({"file": args.file, "bytes": written}, f"{args.file}: {size(written)}.")
    return OK


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole, and leaves nothing behind otherwise."""
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            yield file  # type: ignore[misc]  # a wrapper that is a BinaryIO in all but name
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = ""
    except OSError as problem:
        kind = StorageFullError if problem.errno == 28 else RefusedError  # noqa: PLR2004 - ENOSPC
        raise kind(f"{path} cannot be written: {problem.strerror}.") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
