"""A bundle for whoever helps: what the host knows of itself, without secrets, bounded in size."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.services.disk_gauge import disk_room, flash_wear
from edgehost.config import Config
from edgehost.domain.redaction import Redactor, opaque_values
from edgehost.ports.host_control import HostControl

_MOST_PART_BYTES: Final = 512 * 1024
#: A character may take four bytes, and grows when something is removed.
_MOST_CHARACTERS: Final = 100 * 1024
_MOST_PARTS: Final = 24
_MOST_FILES_LISTED: Final = 2000
_MODE: Final = 0o600
_READ_ME: Final = """\
Made by 'edgehost diag'. Nothing in here is a secret that the host knows of: files with keys, tokens and passwords are
named and were not read, values that components are given are left out, and what looks like a secret is removed from
every text. Components write their own log lines: look at guest-log.json before you pass this on.
"""


def make_bundle(parts: Mapping[str, Any], config_text: bytes, *, at: float) -> bytes:
    """A tar.gz of these parts, by name: text as it is, anything else as JSON; at most 12 MiB before it is packed.

    ``config_text`` is the configuration that runs; it is put in without its secrets. ``at``: unix seconds.
    """
    try:
        document = tomllib.loads(config_text.decode())
    except (ValueError, RecursionError):
        document = {}  # it may hold anything: it is left out
    redactor = Redactor(opaque_values(document))
    contents = {"README.txt": _READ_ME, "config.json": document, **parts}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, part in list(contents.items())[:_MOST_PARTS]:
            if isinstance(part, str):
                text = redactor.text(_tail(part))
            else:
                text = json.dumps(redactor.document(part), indent=1, default=str)
            content = text.encode("utf-8", "replace")
            if len(content) > _MOST_PART_BYTES:
                content = b"It is too long."
            entry = tarfile.TarInfo(f"edgehost-diag/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(at), _MODE
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _tail(text: str) -> str:
    """The end of a long text, from the beginning of a line: half a line may be half a secret."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"(the beginning is left out)\n{text[-_MOST_CHARACTERS:].partition(chr(10))[2]}"


async def host_parts(host: HostControl) -> dict[str, Any]:
    """What a running host says of itself; a part that cannot be had says why."""
    agent = host.agent()
    return {
        "status.json": await host.status(),
        "doctor.json": list(await host.doctor()),
        "ledger.json": list(await host.releases()),
        "instances.json": list(await host.instances()),
        "guest-log.json": list(await host.logs())[-500:],
        "host-log.txt": "\n".join(agent.host_lines),
        "generations.json": [each.document() for each in agent.all_generations()],
        "crashes.json": [each.document() for each in await agent.crash_reports()],
    }


def machine_parts(config: Config) -> dict[str, Any]:
    """What can be seen without the host: versions, disk, the data folder's files by name and size. Blocking."""
    from importlib.metadata import distributions  # noqa: PLC0415 - 1 MB, for this alone

    return {
        "versions.json": {
            "python": sys.version,
            "machine": platform.machine(),
            "kernel": platform.release(),
            "processors": os.cpu_count(),
            "libraries": dict(sorted((each.name, each.version) for each in distributions())[:300]),
        },
        "disk.json": _disk(config.host.data),
    }


def _disk(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"path": str(data)}
    try:
        room = disk_room(data)
        found |= {name: getattr(room, name) for name in room.__slots__}
        found["wear"] = flash_wear(data)
    except OSError as problem:
        found["error"] = str(problem)
        return found
    files: dict[str, int] = {}
    for folder, _, names in os.walk(data):
        for name in sorted(names):
            path = Path(folder) / name
            if len(files) >= _MOST_FILES_LISTED:
                found["more"] = True
                break
            try:
                files[str(path.relative_to(data))] = path.lstat().st_size
            except OSError:
                continue
    found["files"] = files
    return found
