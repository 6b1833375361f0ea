"""What can be said of an end of the host: from the error, the fault handler, the kernel's log, or the lack of all."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Final

from edgehost.domain.boot_record import BootRecord, Ending
from edgehost.domain.crash_report import MOST_DETAIL, CrashReport

_KERNEL_LOG: Final = Path("/dev/kmsg")
#: The ring of the kernel's log is 128 KiB to 1 MiB; a message is read at a time.
_MOST_MESSAGES: Final = 20_000
_MESSAGE_BYTES: Final = 8192
_KILLED: Final = "Killed process {pid} "


def exception_report(
    problem: BaseException, now: float, version: str, generation: int, *, was_well: bool
) -> CrashReport:
    """The report of an error that nobody expected."""
    detail = "".join(traceback.format_exception(problem))
    return CrashReport(
        kind="exception",
        reason=f"{type(problem).__name__}: {problem}",
        at=now,
        version=version,
        generation=generation,
        was_well=was_well,
        detail=detail[-MOST_DETAIL:],
    )


def death_report(before: BootRecord, ending: Ending, fatal: str, now: float, version: str) -> CrashReport:
    """The report of a run that could not say how it ended, made by the next start."""
    if fatal:
        first = re.search(r"Fatal Python error: (.*)", fatal)
        kind, reason = "signal", first[1] if first else "A fatal signal."
    elif ending is Ending.REBOOTED:
        kind, reason = "rebooted", "The machine was reset or lost its power while the host ran."
    elif killed := killed_for_memory(before.pid):
        kind, reason = "out-of-memory", killed
    else:
        kind = "died"
        reason = "It was killed, or fell without a word; the kernel's log may say more ('dmesg')."
    return CrashReport(
        kind=kind,
        reason=reason,
        at=now,
        version=version,
        generation=before.generation,
        was_well=before.well,
        detail=fatal[-MOST_DETAIL:],
    )


def killed_for_memory(pid: int, log: Path = _KERNEL_LOG) -> str:
    """What the kernel's log says of having killed this process for its memory; empty when nothing, or unreadable."""
    wanted = _KILLED.format(pid=pid).encode()
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        for _ in range(_MOST_MESSAGES):
            try:
                message = os.read(descriptor, _MESSAGE_BYTES)
            except BrokenPipeError:  # overwritten while it was read; the next one is whole
                continue
            if not message:
                break
            if wanted in message:
                line = message.partition(b";")[2] or message
                return line.split(b"\n")[0].decode("utf-8", "replace")[:500]
    except OSError:  # no more messages
        return ""
    finally:
        os.close(descriptor)
    return ""
