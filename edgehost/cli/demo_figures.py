"""What the demo measured, and whether every promise held."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_KIB_PER_MB = 1024


@dataclass(slots=True)
class DemoFigures:
    """Filled in as the story goes on."""

    broker: str = ""
    release_bytes: int = 0
    published_to_live_each_ms: list[float] = field(default_factory=list)
    swap_each_ms: list[float] = field(default_factory=list)
    calls_total: int = 0
    calls_failed: int = 0
    calls_in_probation: int = 0  # by the demo, from before the bad release to after its rollback
    calls_failed_in_probation: int = 0
    rolled_back: bool = False
    rolled_back_ms: float = 0.0  # from live to the earlier release answering again
    quarantined: bool = False
    tampered_refused: bool = False
    records_before_kill: int = 0
    records_after_kill: int = -1
    offline_restart_ms: float = 0.0
    host_pss_mb: float = 0.0
    sandbox_private_mb: float = 0.0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """One object for ``--json``."""
        return {
            "published_to_live_ms": round(statistics.median(self.published_to_live_each_ms), 1),
            "published_to_live_each_ms": [round(value, 1) for value in self.published_to_live_each_ms],
            "release_bytes": self.release_bytes,
            "swap_ms": round(statistics.median(self.swap_each_ms), 1),
            "calls_total": self.calls_total,
            "calls_failed": self.calls_failed,
            "calls_in_probation": self.calls_in_probation,
            "calls_failed_in_probation": self.calls_failed_in_probation,
            "rolled_back": self.rolled_back,
            "rolled_back_ms": round(self.rolled_back_ms, 1),
            "quarantined": self.quarantined,
            "tampered_refused": self.tampered_refused,
            "records_before_kill": self.records_before_kill,
            "records_after_kill": self.records_after_kill,
            "offline_restart_ms": round(self.offline_restart_ms, 1),
            "host_pss_mb": round(self.host_pss_mb, 1),
            "sandbox_private_mb": round(self.sandbox_private_mb, 2),
            "broker": self.broker,
            "seconds": round(self.seconds, 1),
            "all_promises_held": self.all_held(),
        }

    def all_held(self) -> bool:
        """Whether the story ended as promised."""
        return (
            self.calls_total > 0
            and self.calls_failed == 0
            and self.rolled_back
            and self.quarantined
            and self.tampered_refused
            and self.records_before_kill == self.records_after_kill > 0
        )

    def lines(self) -> tuple[str, ...]:
        """The outcome for people."""
        figures = self.document()
        count = len(self.published_to_live_each_ms)
        median_of = f"median of {count} releases of {self.release_bytes // 1024} KiB over {self.broker}"
        bad = f"rolled back {figures['rolled_back_ms']} ms after it went live"
        felt = (
            f"of the demo's {self.calls_in_probation} calls around it {self.calls_failed_in_probation} failed"
        )
        rows = (
            ("published to live", f"{figures['published_to_live_ms']} ms ({median_of})"),
            ("swap", f"{figures['swap_ms']} ms, from the first new instance to the end of the last old one"),
            ("calls", f"{self.calls_total} during the swaps, {self.calls_failed} failed"),
            ("bad release", f"{bad}; {felt}"),
            ("records", f"{self.records_before_kill} before kill -9, {self.records_after_kill} after"),
            ("offline restart", f"{figures['offline_restart_ms']} ms from exec to the first answer"),
            ("memory", f"host {figures['host_pss_mb']} MB, each sandbox {figures['sandbox_private_mb']} MB"),
            ("all promises held", "yes" if self.all_held() else "NO"),
        )
        return ("", *(f"{name:<19}{value}" for name, value in rows))


def pss_mb(pid: int) -> float:
    """Proportional set size of a process, in MB (proc(5), smaps_rollup)."""
    return _rollup(pid, {"Pss"})


def private_mb(pid: int) -> float:
    """Memory that only this process has, in MB."""
    return _rollup(pid, {"Private_Clean", "Private_Dirty"})


def children(pid: int) -> tuple[int, ...]:
    """The direct children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return tuple(found)


def _rollup(pid: int, wanted: set[str]) -> float:
    total_kib = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            total_kib += int(rest.split()[0])
    return total_kib / _KIB_PER_MB
