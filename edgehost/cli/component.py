"""Check a component.toml without building anything, or print its JSON Schema for editors.

  edgehost component check examples/telemetry
  edgehost component schema > component.schema.json

An editor with the Even Better TOML extension takes the schema from a first line '#:schema ./component.schema.json'.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgehost.adapters.building.component_folder import read_component_toml
from edgehost.adapters.building.key_lines import key_lines, line_in
from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.output import Output
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.spec_findings import Found
from edgehost.domain.spec_schema import component_schema
from edgehost.usecases.check_specification import check_specification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser(
        "check", allow_abbrev=False, help="every fault of a component.toml, with its line"
    )
    check.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        default=".",
        help="folder of component.toml, or the file; default: here",
    )
    verbs.add_parser("schema", allow_abbrev=False, help="the JSON Schema of component.toml")


def run(args: argparse.Namespace, out: Output) -> int:
    """Check, or print."""
    if args.verb == "schema":
        schema = component_schema()
        out.result(schema, json.dumps(schema, indent=2))
        return OK
    file, text, document = read_component_toml(Path(args.folder).expanduser())
    faults: list[Found] = []
    if not isinstance(document.pop("wasm", None), str):
        faults.append(Found("wasm", "the key 'wasm' must name the module.", 'Add: wasm = "build/my.wasm"'))
    spec, found = check_specification(document)
    faults += found
    lines = key_lines(text)
    placed = sorted(((line_in(lines, fault.path), fault) for fault in faults), key=lambda each: each[0])
    out.result(_document(file, spec, placed), *_lines(file, spec, placed))
    return FAILED if placed else OK


def _document(file: Path, spec: ComponentSpec, placed: Sequence[tuple[int, Found]]) -> dict[str, Any]:
    return {
        "path": str(file),
        "component": spec.name,
        "version": spec.version,
        "faults": [
            {"line": line, "key": fault.path, "message": fault.message, "hint": fault.hint}
            for line, fault in placed
        ],
    }


def _lines(file: Path, spec: ComponentSpec, placed: Sequence[tuple[int, Found]]) -> list[str]:
    if not placed:
        return [f"{file}: {spec.name} {spec.version} ({spec.kind}) has no faults."]
    lines = [f"{file}:{line or 1}: {fault.message} {fault.hint}".rstrip() for line, fault in placed]
    return [*lines, f"{len(placed)} fault{'s' if len(placed) > 1 else ''}."]
