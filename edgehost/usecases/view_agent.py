"""What the agent's own life looks like to whoever asks how the host is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgehost.domain.config_generation import Standing
from edgehost.ports.agent_control import AgentControl

_CRASHED: Final = (
    "See 'edgehost crashes'; then 'edgehost safe-mode off', or give it another configuration or release."
)
_KEEPS_NOTHING: Final = (
    "It ends by itself once the data folder can be written: mount it for writing ('mount -o remount,rw'), "
    "give it to the host's user, or exchange the card."
)


def life_findings(life: AgentControl) -> Iterator[Mapping[str, Any]]:
    """Findings as the host's doctor has them."""
    status = life.status()
    if life.safe:
        keeps = status.get("keeps", True)
        yield {
            "check": "safe mode",
            "state": "failed",
            "detail": f"Components are off: {life.safe}" if keeps else life.safe,
            "hint": _CRASHED if keeps else _KEEPS_NOTHING,
        }
    newest = life.all_generations()[-1] if life.all_generations() else None
    if newest is not None and newest.standing is Standing.FAILED:
        yield {
            "check": "configuration",
            "state": "failed",
            "detail": f"Generation {newest.number} ({newest.origin}) was given up: {newest.reason} "
            f"Generation {life.generation.number} runs.",
            "hint": "Mend it and apply it again: 'edgehost config diff' shows what it changed.",
        }
    elif life.generation.standing is Standing.TRIAL:
        yield {
            "check": "configuration",
            "state": "ok",
            "detail": f"generation {life.generation.number} ({life.generation.origin}) is on trial",
            "hint": "",
        }
    else:
        yield {
            "check": "configuration",
            "state": "ok",
            "detail": f"generation {life.generation.number} ({life.generation.origin}) is good",
            "hint": "",
        }
    if status.get("file_refused"):
        yield {
            "check": "configuration file",
            "state": "failed",
            "detail": f"It is not taken: {status['file_refused']}",
            "hint": "Mend the file, then 'edgehost config apply'.",
        }
    if status.get("previous_end") not in {"clean", None}:
        yield {
            "check": "run before",
            "state": "warning",
            "detail": f"It ended uncleanly: {status['previous_end']}.",
            "hint": "See 'edgehost crashes'.",
        }
