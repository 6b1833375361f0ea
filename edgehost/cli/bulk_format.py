"""Which format a file of many records has."""

from __future__ import annotations

import argparse
from typing import Final

#: What the API calls each format.
MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "cbor": "application/cbor-seq"}

_ENDINGS: Final = {".cbor": "cbor", ".cborseq": "cbor"}


def add_format(parser: argparse.ArgumentParser) -> None:
    """Let the format be named."""
    parser.add_argument(
        "--format",
        choices=sorted(MEDIA_TYPES),
        help="default: cbor for a file that ends in .cbor, else ndjson",
    )


def format_of(args: argparse.Namespace) -> str:
    """The format that is named, or that the file's name tells."""
    if args.format:
        return str(args.format)
    return next((form for ending, form in _ENDINGS.items() if args.file.endswith(ending)), "ndjson")
