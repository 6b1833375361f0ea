"""Check a component and make it one file: validate the module, bound its memory, embed component.toml, try it.

The folder holds component.toml and the module that it names; the result is NAME-VERSION.wasm.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
from pathlib import Path

from edgehost.adapters.building.component_folder import read_component_folder, with_line, write_component
from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.cli.command_table import OK
from edgehost.cli.output import Output
from edgehost.cli.progress import Progress
from edgehost.domain.component_file import component_summary, read_component
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.usecases.build_component import build_component


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", default=".", help="folder of component.toml; default: here"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="where the file goes; default: beside component.toml"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the component."""
    source = Path(args.folder).expanduser()
    folder = source if source.is_dir() else source.parent
    target = Path(args.output).expanduser() if args.output else folder
    with Progress(f"building {folder}", out):
        component = asyncio.run(_build(source, out))
    spec = read_component(component)
    path = write_component(target, spec.name, spec.version, component)
    digest = hashlib.sha256(component).hexdigest()
    out.result(
        _document(spec, path, component, digest),
        component_summary(spec, component),
        f"  sha256    {digest}",
        f"Wrote {path}.",
    )
    return OK


async def _build(source: Path, out: Output) -> bytes:
    document, wasm = await asyncio.to_thread(read_component_folder, source)

    def log(component: str, level: str, message: str) -> None:
        out.note(f"{component}: {level}: {message}")

    async with open_sandbox_factory() as sandboxes:
        try:
            return await build_component(document, wasm, toolchain=WasmTools(), sandboxes=sandboxes, log=log)
        except InvalidSpecificationError as error:
            raise await asyncio.to_thread(with_line, source, error) from None


def _document(spec: ComponentSpec, path: Path, component: bytes, digest: str) -> dict[str, object]:
    return {
        "component": spec.name,
        "version": spec.version,
        "kind": spec.kind,
        "abi": spec.abi,
        "path": str(path),
        "size_bytes": len(component),
        "sha256": digest,
    }
