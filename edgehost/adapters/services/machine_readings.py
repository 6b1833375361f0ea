"""The machine's readings as Linux gives them: /proc, /sys and the file system."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgehost.ports.readings import READINGS

#: /proc/net/dev of a machine with hundreds of interfaces stays below.
_MOST_BYTES: Final = 64 * 1024
#: Sensors that are not connected report values far outside.
_PLAUSIBLE_C: Final = (-60.0, 150.0)
_MEMORY: Final = re.compile(r"^(MemTotal|MemAvailable|MemFree):\s+(\d+) kB$", re.MULTILINE)


class LinuxReadings:
    """MachineReadings from the kernel; ``disk`` is any path on the disk of interest."""

    def __init__(self, disk: Path, *, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._disk = disk
        self._proc = proc
        self._sys = sys

    async def read(self) -> Mapping[str, float | None]:
        """Every one of ``READINGS``; None where the machine does not have it."""
        return await asyncio.to_thread(self._read)  # a disk that hangs must not hang the host

    def _read(self) -> dict[str, float | None]:
        found = self._load() | self._memory() | self._disk_use() | self._network() | self._uptime()
        found |= self._temperature()
        return {name: found.get(name) for name in READINGS}

    def _load(self) -> dict[str, float]:
        words = _text(self._proc / "loadavg").split()
        return {"load_1m": float(words[0])} if words else {}

    def _uptime(self) -> dict[str, float]:
        words = _text(self._proc / "uptime").split()
        return {"uptime_s": float(words[0])} if words else {}

    def _memory(self) -> dict[str, float]:
        figures = {name: int(kib) * 1024 for name, kib in _MEMORY.findall(_text(self._proc / "meminfo"))}
        total = figures.get("MemTotal")
        free = figures.get("MemAvailable", figures.get("MemFree"))
        if total is None or free is None:
            return {}
        return {"memory_used_bytes": total - free, "memory_total_bytes": total}

    def _disk_use(self) -> dict[str, float]:
        try:
            disk = os.statvfs(self._disk)
        except OSError:
            return {}
        return {
            "disk_used_bytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "disk_total_bytes": disk.f_blocks * disk.f_frsize,
        }

    def _network(self) -> dict[str, float]:
        received = sent = 0
        lines = [line.partition(":") for line in _text(self._proc / "net" / "dev").splitlines()]
        interfaces = [(name.strip(), figures.split()) for name, colon, figures in lines if colon]
        if not interfaces:
            return {}
        for name, figures in interfaces:
            if name != "lo":
                received += int(figures[0])
                sent += int(figures[8])  # eight figures of what was received come first
        return {"net_rx_bytes": received, "net_tx_bytes": sent}

    def _temperature(self) -> dict[str, float]:
        """The hottest sensor: the one that makes a board throttle."""
        paths = [
            *self._sys.glob("class/thermal/thermal_zone*/temp"),
            *self._sys.glob("class/hwmon/hwmon*/temp1_input"),
        ]
        values = [
            int(text) / 1000 for path in paths if re.fullmatch(r"-?\d{1,9}", text := _text(path).strip())
        ]
        plausible = [value for value in values if _PLAUSIBLE_C[0] <= value <= _PLAUSIBLE_C[1]]
        return {"temperature_c": max(plausible)} if plausible else {}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
