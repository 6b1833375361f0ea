"""What a host takes of a machine's memory: its share beside what else runs here, and what it would take alone.

The proportional set size divides a file's pages by the processes that map it, so that it falls with every other Python
program on the machine: by up to 12 MB for a host. What is anonymous does not depend on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_KIB_PER_MB = 1024


class HostMemory(NamedTuple):
    """Of one host's processes together, in MB."""

    pss: float
    anonymous: float
    alone: float  # the anonymous, and each mapped file's pages once


def host_memory(pids: Sequence[int]) -> HostMemory:
    """Read of proc(5), smaps."""
    pss = anonymous = 0
    files: dict[tuple[str, str], int] = defaultdict(int)
    for pid in pids:
        mapped: dict[tuple[str, str], int] = defaultdict(int)
        area = ("", "")
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):  # ADDRESSES PERMISSIONS OFFSET DEVICE INODE [PATH]
                area = (words[5] if len(words) > 5 else "", words[2])
            elif words[0] == "Rss:":
                mapped[area] += int(words[1])
            elif words[0] == "Anonymous:":
                mapped[area] -= int(words[1])
        for area, kib in mapped.items():
            files[area] = max(files[area], kib)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            pss += int(rest.split()[0]) if name == "Pss" else 0
            anonymous += int(rest.split()[0]) if name == "Pss_Anon" else 0
    alone = anonymous + sum(kib for (path, _), kib in files.items() if path.startswith("/"))
    return HostMemory(pss / _KIB_PER_MB, anonymous / _KIB_PER_MB, alone / _KIB_PER_MB)
