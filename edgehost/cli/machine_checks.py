"""What ``doctor`` asks of this machine: versions, clock, disk, files that hold secrets."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.cli.output import size
from edgehost.config import Config
from edgehost.config_tables import MqttCarrier
from remotes.clock_floor import EARLIEST

#: Made by systemd-timesyncd and by chrony's and ntpd's units on Debian once the clock was set from the network.
_SYNCHRONISED: Final = (Path("/run/systemd/timesync/synchronized"), Path("/run/chrony/chronyd.pid"))
_REAL_TIME_CLOCK: Final = Path("/dev/rtc0")
#: Journals and their compaction need room beside the shelf.
_SPARE_BYTES: Final = 64 * 1024 * 1024
_OTHERS: Final = stat.S_IRWXO


def check_versions() -> Iterator[Finding]:
    """What runs here."""
    yield good(
        "versions",
        f"edgehost {version('edgehost')}, Python {platform.python_version()}, "
        f"Linux {platform.release()} on {platform.machine()}",
    )
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
    if not any(path.exists() for path in _SYNCHRONISED) and not _REAL_TIME_CLOCK.exists():
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
    if not os.access(existing, os.W_OK | os.X_OK):
        yield wrong(
            "data", f"{existing} cannot be written by this user.", "Run as its owner, or set [host] data."
        )
        return
    free = shutil.disk_usage(existing).free
    used = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) if folder.exists() else 0
    needed = max(config.limits.shelf_bytes - used, 0) + _SPARE_BYTES
    if free < _SPARE_BYTES:
        yield wrong(
            "disk",
            f"{size(free)} free at {existing}.",
            "Make room: records and releases are refused when it is full.",
        )
    elif free < needed:
        yield note(
            "disk",
            f"{size(free)} free at {existing}; the shelf alone may take {size(config.limits.shelf_bytes)}.",
            "Make room, or lower [limits] shelf_bytes.",
        )
    else:
        yield good("disk", f"{size(free)} free at {existing}, {size(used)} used by this host")


def check_secrets(config: Config) -> Iterator[Finding]:
    """Files with secrets are there, and nobody else reads them."""
    files = [("api.token_file", config.api.token_file)]
    files += [
        (f"remotes[{index}].password_file", remote.carrier.password_file)
        for index, remote in enumerate(config.remotes)
        if isinstance(remote.carrier, MqttCarrier)
    ]
    for key, path in files:
        if path is None:
            continue
        try:
            mode = path.stat().st_mode
        except OSError as problem:
            yield wrong(key, f"{path}: {problem.strerror}.", "Write the secret into it, or drop the key.")
            continue
        if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
            yield wrong(
                key, f"{path} cannot be read by this user.", "Run as its owner, or fix its permissions."
            )
        elif mode & _OTHERS:
            yield note(key, f"every user of this machine can read {path}.", f"chmod 600 {path}")
        else:
            yield good(key, f"{path} is this user's alone")
