"""What this machine's own sensors say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

#: Every reading that there is; a component can rely on the names.
READINGS: Final = (
    "load_1m",
    "memory_used_bytes",
    "memory_total_bytes",
    "temperature_c",
    "disk_used_bytes",
    "disk_total_bytes",
    "net_rx_bytes",  # since boot, without the loopback
    "net_tx_bytes",
    "uptime_s",
)


class MachineReadings(Protocol):
    """The machine as it is now."""

    async def read(self) -> Mapping[str, float | None]:
        """Every one of ``READINGS``; None where the machine does not have it."""
        ...
