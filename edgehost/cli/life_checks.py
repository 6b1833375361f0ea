"""What ``doctor`` asks of a host that may be down: its clock against signed times, its crashes, its configurations."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.config import Config
from remotes.clock_floor import from_seconds, read_floor

_DAY_S: Final = 86_400
#: Whoever had no remote for longer than this should look whether it is the clock instead.
_LONG_DAYS: Final = 60
#: man adjtimex: the clock is not synchronised.
_TIME_ERROR: Final = 5
#: struct timex has 208 bytes on 64-bit machines; zeroes ask and change nothing.
_TIMEX_BYTES: Final = 512
_LEAST_FILES: Final = 1024


def check_signed_times(config: Config) -> Iterator[Finding]:
    """This machine's clock against the newest time that remotes' signatures vouch for."""
    now = datetime.now(UTC)
    floors = {
        each.name: read_floor(config.host.data / "remotes" / each.name / "trusted").seconds
        for each in config.remotes
    }
    name = max(floors, key=lambda each: floors[each], default="")
    if not floors.get(name):
        return
    floor = from_seconds(floors[name])
    days = int((now - floor).total_seconds() // _DAY_S)
    times = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, signatures of remote '{name}' vouch for {floor:%Y-%m-%d %H:%M} UTC"
    if days < -1:
        yield wrong(
            "clock",
            f"it is at least {-days - 1} days behind: {times}.",
            "Set it: 'timedatectl set-ntp true'. Until then releases are judged by the signed time.",
        )
    elif days > _LONG_DAYS:
        yield note(
            "clock",
            f"it is {days} days ahead of what was signed last: {times}.",
            "If no remote was reached for so long, that is right; else set the clock: it makes good releases look expired.",
        )
    else:
        yield good("clock", f"agrees with what was signed: {times}")


def clock_is_synchronised() -> bool | None:
    """What the kernel says of its clock; None where it cannot be asked."""
    if sys.platform != "linux":
        return None
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def check_kernel() -> Iterator[Finding]:
    """What of the kernel and its limits the host builds on, beside the defences of its sandboxes."""
    missing = [
        what
        for what, there in (
            ("writes are not counted by process (CONFIG_TASK_IO_ACCOUNTING)", Path("/proc/self/io").exists()),
            ("it has no id of a boot", Path("/proc/sys/kernel/random/boot_id").exists()),
        )
        if not there
    ]
    release = os.uname().release
    if missing:
        yield note(
            "kernel", f"{release}: {'; '.join(missing)}.", "Some figures and reports are less exact here."
        )
    else:
        yield good("kernel", f"{release} has what is asked for")
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST_FILES:
        yield note(
            "open files", f"{soft} at most.", "Raise it: LimitNOFILE of the service, or 'ulimit -n 4096'."
        )


def check_life(config: Config) -> Iterator[Finding]:
    """How the host's last starts went, from what it has written."""
    from edgehost.adapters.storage.life_files import (  # noqa: PLC0415 - not for --help
        BootRecordFile,
        CrashFolder,
        GenerationFolder,
    )
    from edgehost.domain.config_generation import Standing  # noqa: PLC0415 - as above

    folder = config.host.data / "config"
    record = BootRecordFile(folder / "boot.json").load()
    if record.safe:
        yield wrong(
            "safe mode",
            f"components are off: {record.safe}",
            "See 'edgehost crashes'; then 'edgehost safe-mode off', or give it another configuration or release.",
        )
    known = GenerationFolder(folder).load()
    if known.all and known.all[-1].standing is Standing.FAILED:
        last = known.all[-1]
        runs = f"generation {known.chosen.number} runs" if known.chosen else "nothing else is good"
        yield wrong(
            "configuration",
            f"generation {last.number} ({last.origin}) was given up, {runs}: {last.reason}",
            "Mend it and apply it again; 'edgehost config diff' shows what it changed.",
        )
    reports = CrashFolder(config.host.data / "crashes").all()
    if reports:
        yield note(
            "crashes",
            f"{len(reports)} kept; the last was '{reports[-1].kind}': {reports[-1].reason[:200]}",
            "'edgehost crashes' shows them, with --clear it forgets them; 'edgehost diag' bundles them for whoever helps.",
        )
