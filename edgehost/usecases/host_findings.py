"""What a doctor finds on a running host: its sandboxes, components, remotes and records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgehost.usecases.finding import finding
from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.running_components import RunningComponents


def sandbox_findings(confinement: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One for each defence of the sandboxes, by its state."""
    for name, state in confinement.items():
        held = state == "on"
        yield finding(
            f"sandbox {name}",
            "ok" if held else "warning",
            state,
            "" if held else "Components run less confined: use a kernel that has it.",
        )


def down_findings(down: Mapping[str, str], running: RunningComponents) -> Iterator[dict[str, Any]]:
    """One for each live component that does not run, by the reason."""
    for component, reason in down.items():
        if running.get(component) is None:  # else a newer release has come live
            yield finding(
                f"component {component}",
                "failed",
                f"It is live but does not run: {reason}",
                "The host goes on trying; see its log.",
            )


def remote_finding(health: RemoteHealth) -> dict[str, Any]:
    """How a remote is."""
    state = {"ok": "ok", "refused": "failed"}.get(health.state, "warning")
    hint = {
        "refused": "It is not trusted; what runs keeps running. Ask who publishes there.",
        "unreachable": "What runs keeps running; the host goes on trying.",
    }.get(health.state, "")
    return finding(f"remote {health.name}", state, health.reason or health.state, hint)


def conduct_findings(running: RunningComponents) -> Iterator[dict[str, Any]]:
    """One for each release that failed calls."""
    for each in running.everything():
        if each.conduct.faults:
            yield finding(
                f"component {each.release.component}",
                "warning",
                f"{each.conduct.faults} of {each.conduct.calls} calls failed.",
                "See 'edgehost logs'.",
            )


def storage_findings(statistics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One when stored bytes were not what was written."""
    if damages := statistics.get("damages", 0):
        yield finding("records", "failed", f"{damages} damaged lines were set aside.", "See the host's log.")
