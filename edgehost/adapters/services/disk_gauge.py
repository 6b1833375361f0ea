"""What the kernel says of a disk: the room on it, and how worn it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edgehost.domain.disk_room import DiskRoom

MOUNTS: Final = Path("/proc/self/mountinfo")
#: Some hundred mounts take a tenth of it.
_MOST_MOUNTS_BYTES: Final = 1024 * 1024
#: Of ext4 since Linux 6.15.
_GAVE_UP: Final = frozenset({b"emergency_ro", b"shutdown"})
#: JEDEC JESD84-B51: 0x01 is 0-10 % of the life used, 0x0b is beyond it.
_LIFE_STEP_PERCENT: Final = 10
_LIFE_STEPS: Final = 11
_PRE_EOL: Final = {
    1: "normal",
    2: "80 % of the spare blocks are used",
    3: "90 % of the spare blocks are used",
}


def disk_room(path: Path) -> DiskRoom:
    """The room for this user on the disk that holds the path; one call, nothing is written.

    Raises:
        OSError: the path cannot be reached.
    """
    found = os.statvfs(path)
    return DiskRoom(
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail,
        total_inodes=found.f_files,
        read_only=bool(found.f_flag & os.ST_RDONLY) or _gave_up(path),
    )


def _gave_up(path: Path) -> bool:
    """Whether the kernel takes no more writes after an error of the medium; newer ones keep calling the mount "rw".

    Source: ext4_show_options and proc_pid_mountinfo(5): after " - " the type, the source and the super block's options.
    """
    try:
        device = path.stat().st_dev
        with MOUNTS.open("rb") as file:
            lines = file.read(_MOST_MOUNTS_BYTES).splitlines()
    except OSError:
        return False
    number = b"%d:%d" % (os.major(device), os.minor(device))
    for line in lines:
        mount, _, file_system = line.partition(b" - ")
        if mount.split()[2:3] == [number]:
            options = file_system.split()[2:3]
            return bool(options) and not _GAVE_UP.isdisjoint(options[0].split(b","))
    return False


def flash_wear(path: Path, sys: Path = Path("/sys")) -> str:
    """What an eMMC says of its own wear; empty for other media, which do not say it without privileges."""
    try:
        device = path.stat().st_dev
        block = (sys / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").resolve(strict=True)
    except OSError:
        return ""
    for place in (block / "device", block.parent / "device"):  # of a disk, and of a partition's disk
        try:
            life = [int(word, 16) for word in (place / "life_time").read_text().split()[:2]]
            spare = int((place / "pre_eol_info").read_text().split()[0], 16)
        except (OSError, ValueError, IndexError):
            continue
        worst = max((step for step in life if 0 < step <= _LIFE_STEPS), default=0)
        if worst:
            most = min(worst * _LIFE_STEP_PERCENT, 100)
            return f"up to {most} % of its life is used; spare blocks: {_PRE_EOL.get(spare, 'unknown')}"
    return ""


def written_by_process() -> int | None:
    """Bytes that this process, and children that have ended, caused to be written; None where that is not counted."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
