"""What ``doctor`` asks of this machine: versions, clock, disk."""

from __future__ import annotations

import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from edgehost.adapters.services.disk_gauge import disk_room, flash_wear
from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.cli.life_checks import clock_is_synchronised
from edgehost.cli.output import size
from edgehost.config import Config
from edgehost.domain.disk_room import READ_ONLY_HINT, RESERVED_INODES
from remotes.clock_floor import EARLIEST

#: Made by systemd-timesyncd and by chrony's and ntpd's units on Debian once the clock was set from the network.
_SYNCHRONISED: Final = (Path("/run/systemd/timesync/synchronized"), Path("/run/chrony/chronyd.pid"))
_REAL_TIME_CLOCK: Final = Path("/dev/rtc0")
#: Journals and their compaction need room beside the shelf.
_SPARE_BYTES: Final = 64 * 1024 * 1024
_LIBRARIES: Final = (
    "aiomqtt",
    "cryptography",
    "paho-mqtt",
    "pywasm3",
    "starlette",
    "tinydb",
    "tuf",
    "uvicorn",
)


def check_versions() -> Iterator[Finding]:
    """What runs here."""
    yield good(
        "versions",
        f"edgehost {version('edgehost')}, Python {platform.python_version()}, "
        f"Linux {platform.release()} on {platform.machine()}",
    )
    yield good("libraries", ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES))
    slow = [name for name in ("uvloop", "httptools") if importlib.util.find_spec(name) is None]
    if slow:
        yield note(
            "speed",
            f"{' and '.join(slow)} not installed: pure Python serves.",
            "pip install 'edgehost[fast]'",
        )


def check_clock() -> Finding:
    """Expiry is judged by this clock; a floor stands in while it is behind."""
    now = datetime.now(UTC)
    text = now.isoformat(timespec="seconds")
    if now < EARLIEST:
        return note(
            "clock",
            f"it says {text}, which is in the past; releases are judged by the newest time that is known instead.",
            "Set it: 'timedatectl set-ntp true', or give the machine a real-time clock.",
        )
    is_kept = clock_is_synchronised() or any(path.exists() for path in _SYNCHRONISED)
    if not is_kept and not _REAL_TIME_CLOCK.exists():
        return note(
            "clock",
            f"{text}; neither a real-time clock nor network time was found.",
            "'timedatectl set-ntp true' keeps it right.",
        )
    return good("clock", text)


def check_disk(config: Config) -> Iterator[Finding]:
    """The data folder can be written, and what the limits allow has room."""
    folder = config.host.data
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        yield wrong("data", f"{existing} is no folder.", "Move it away, or set [host] data.")
        return
    if not os.access(existing, os.W_OK | os.X_OK) and not disk_room(existing).read_only:
        yield wrong(
            "data", f"{existing} cannot be written by this user.", "Run as its owner, or set [host] data."
        )
        return
    yield from _check_room(config, existing)
    yield _write_test(existing)
    if wear := flash_wear(existing):
        yield good("flash wear", wear)


def _check_room(config: Config, existing: Path) -> Iterator[Finding]:
    folder = config.host.data
    room = disk_room(existing)
    used = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) if folder.exists() else 0
    reserve = max(config.limits.free_bytes, _SPARE_BYTES)
    needed = max(config.limits.shelf_bytes - used, 0) + reserve
    inodes = f" and {room.free_inodes} inodes" if room.total_inodes else ""
    advice = "Make room: releases are not fetched, and records are refused once it is full."
    if room.read_only:
        yield wrong(
            "disk",
            f"{existing} is on a disk that is read-only: nothing can be written.",
            READ_ONLY_HINT,
        )
    elif room.free_bytes < reserve:
        yield wrong("disk", f"{size(room.free_bytes)} free at {existing}.", advice)
    elif room.total_inodes and room.free_inodes < RESERVED_INODES:
        yield wrong("disk", f"{room.free_inodes} inodes free at {existing}: no file can be made.", advice)
    elif room.free_bytes < needed:
        yield note(
            "disk",
            f"{size(room.free_bytes)} free at {existing}; the shelf alone may take "
            f"{size(config.limits.shelf_bytes)}.",
            "Make room, or lower [limits] shelf_bytes.",
        )
    else:
        yield good(
            "disk", f"{size(room.free_bytes)}{inodes} free at {existing}, {size(used)} used by this host"
        )


def _write_test(folder: Path) -> Finding:
    """A few bytes to the medium and back: permissions say little of a card that fails."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"edgehost")
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            is_back = file.read() == b"edgehost"
    except OSError as problem:
        return wrong("disk write", f"{folder} takes no file: {problem.strerror}.", "See 'dmesg' and 'df'.")
    if not is_back:
        return wrong(
            "disk write", f"{folder} gives back other bytes than were written.", "Replace the medium."
        )
    return good("disk write", f"{folder} takes what is written")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
