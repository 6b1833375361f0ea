"""Bundles that come as messages go where 'edgehost bundle apply' puts them, and its report is the outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edgehost.composition.rooms import Rooms
from edgehost.config_carriers import StickCarrier
from edgehost.config_tables import RemoteSettings
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.fleet_agent_operations import ApplyBundle
from remotes.bundle_file import SUFFIX
from remotes.bundle_report import REPORT_SUFFIX
from remotes.durable_file import read_bounded, write_durably
from remotes.stick_remote import inbox_of

_REPORT_MOST_BYTES: Final = 1024 * 1024
#: The last word about a release follows its deployment by a moment.
_WRITING_S: Final = 1.0


def bundle_operation(rooms: Rooms, control: ControlHost, received: Mapping[str, bytes]) -> ApplyBundle | None:
    """How this host takes bundles; None when it has no remote that they could be for."""
    remote = next((each for each in rooms.config.remotes if isinstance(each.carrier, StickCarrier)), None)
    if remote is None or not rooms.config.fleet.bundle_kib:
        return None
    inbox = inbox_of(rooms.config.host.data / "remotes" / remote.name)

    def keep(command_id: str, content: bytes) -> None:
        inbox.mkdir(parents=True, exist_ok=True)
        _report_of(inbox, command_id).unlink(missing_ok=True)
        write_durably(inbox / f"{_name(command_id)}{SUFFIX}", content, mode=0o600)

    async def give(command_id: str, content: bytes) -> None:
        await asyncio.to_thread(keep, command_id, content)
        _, news = control.remotes[remote.name]
        news.set()

    async def report(command_id: str) -> Mapping[str, Any] | None:
        return await _finished(control, remote, _report_of(inbox, command_id))

    return ApplyBundle(give, report, received.get)


async def _finished(control: ControlHost, remote: RemoteSettings, path: Path) -> Mapping[str, Any] | None:
    """The report, once the host is done with what the bundle brought."""
    found = await asyncio.to_thread(_read, path)
    if found is None or found["outcome"] != "taken":
        return found
    health, _ = control.remotes[remote.name]
    if health.checked_at < datetime.fromisoformat(found["checked_at"]).timestamp():
        return None
    await asyncio.sleep(_WRITING_S)
    return await asyncio.to_thread(_read, path) or found


def _read(path: Path) -> Mapping[str, Any] | None:
    content = read_bounded(path, _REPORT_MOST_BYTES)
    document: Mapping[str, Any] | None = None if content is None else json.loads(content)
    return document


def _report_of(inbox: Path, command_id: str) -> Path:
    return inbox / f"{_name(command_id)}{REPORT_SUFFIX}"


def _name(command_id: str) -> str:
    """A file's name: an id may hold ':' and begin like an option, and its dots are no endings."""
    return "mqtt-" + "".join(each if each.isalnum() or each in "-_" else "-" for each in command_id)
