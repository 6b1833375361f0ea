"""Put what the host knows of itself into one file for whoever helps: status, doctor, configuration, ledger, logs, crashes.

Secrets are not in it: files with keys, tokens and passwords are named and not read. Works with and without a running
host.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgehost.cli.command_table import OK
from edgehost.cli.crashes import crash_documents
from edgehost.cli.host_config import config_path, host_client, last_good_config
from edgehost.cli.output import Output, size
from edgehost.cli.progress import Progress
from edgehost.config import Config, load_config, read_config_file
from edgehost.domain.errors import EdgehostError, InvalidConfigError, NotFoundError, UnavailableError

_MODE = 0o600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("-o", "--output", metavar="FILE", help="default: edgehost-diag-NAME-TIME.tar.gz here")


def run(args: argparse.Namespace, out: Output) -> int:
    """Gather, pack, write."""
    from edgehost.composition.diagnosis import machine_parts, make_bundle  # noqa: PLC0415 - not for --help

    now = datetime.now(UTC)
    with Progress("gathering", out):
        config, text = _config(args)
        parts = {**_doctor(args), **_host(args, config), **machine_parts(config)}
        bundle = make_bundle(parts, text, at=now.timestamp())
    path = Path(args.output or f"edgehost-diag-{config.host.name}-{now:%Y%m%dT%H%M%S}.tar.gz")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(bundle)
    names = sorted(parts)
    out.result(
        {"file": str(path), "size_bytes": len(bundle), "parts": names},
        f"{path} ({size(len(bundle))}): {', '.join(names)}.",
        "Look at it before you pass it on: components write their own log lines.",
    )
    return OK


def _config(args: argparse.Namespace) -> tuple[Config, bytes]:
    """The configuration that the host runs on, and its text; of a host that never ran, the file."""
    path = config_path(args)
    text = read_config_file(path)
    try:
        config = load_config(path)
    except InvalidConfigError:
        found = last_good_config(path)
        if found is None:
            raise
        config = found
    from edgehost.composition.life_opening import generations_in  # noqa: PLC0415 - not for --help

    generations = generations_in(path.absolute(), config.host.data)
    chosen = generations.known.chosen
    try:
        return config, text if chosen is None else generations.text(chosen.number)
    except NotFoundError:
        return config, text


def _doctor(args: argparse.Namespace) -> dict[str, Any]:
    from edgehost.cli.doctor import all_findings  # noqa: PLC0415 - not for --help

    return {"doctor-here.json": [asdict(each) for each in all_findings(args)]}


def _host(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """What the host answers; of one that is down, what it has written."""
    host = host_client(args)
    parts: dict[str, Any] = {}
    wanted = {
        "status": ("status.json", None),
        "doctor": ("doctor.json", "findings"),
        "releases": ("ledger.json", "releases"),
        "instances": ("instances.json", "instances"),
        "logs": ("guest-log.json", "lines"),
        "host-log": ("host-log.json", "lines"),
        "generations": ("generations.json", "generations"),
        "crashes": ("crashes.json", "crashes"),
    }
    for what, (name, member) in wanted.items():
        try:
            answer = host.control("GET", what)
        except UnavailableError as problem:
            return _written(args, config) | {"host.txt": problem.message}
        except (EdgehostError, TimeoutError) as problem:
            parts[name] = {"error": str(problem)}
        else:
            parts[name] = answer if member is None else answer[member]
    return parts


def _written(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    from edgehost.adapters.storage.life_files import BootRecordFile, GenerationFolder  # noqa: PLC0415 - as above

    folder = config.host.data / "config"
    return {
        "crashes.json": crash_documents(args),
        "generations.json": GenerationFolder(folder).load().document(),
        "boot.json": BootRecordFile(folder / "boot.json").load().document(),
        "ledger.json": _ledger(config.host.data / "releases"),
    }


def _ledger(folder: Path) -> Any:  # noqa: ANN401 - JSON
    if not folder.is_dir():
        return []
    import asyncio  # noqa: PLC0415 - only for a host that is down

    from edgehost.adapters.storage.folder_shelf import open_shelf  # noqa: PLC0415 - as above

    async def releases() -> list[dict[str, Any]]:
        async with open_shelf(folder) as shelf:
            return [asdict(each) for each in await shelf.releases()]

    try:
        return asyncio.run(releases())
    except EdgehostError as problem:
        return {"error": str(problem)}
