"""A record's port history as JSON, for the disk and for people, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgehost.domain.errors import DamagedError
from edgehost.domain.workflow import Flow, FlowState, Step, StepState, Trigger


def flow_document(flow: Flow) -> dict[str, Any]:
    """Everything about it, ready for JSON."""
    return {
        "state": str(flow.state),
        "created_at": flow.created_at,
        "reason": flow.reason,
        "dropped": flow.dropped,
        "steps": [
            {**asdict(step), "state": str(step.state), "token": flow.token(step)} for step in flow.steps
        ],
    }


def read_flow(model: str, record_id: str, document: Mapping[str, Any]) -> Flow:
    """The history in a document that ``flow_document`` made.

    Raises:
        DamagedError: it is none.
    """
    try:
        return Flow(
            model=model,
            id=record_id,
            created_at=float(document["created_at"]),
            state=FlowState(document["state"]),
            steps=tuple(_read_step(step) for step in document["steps"]),
            dropped=int(document["dropped"]),
            reason=str(document["reason"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise DamagedError(f"The port history of {model}/{record_id} cannot be read: {problem!r}.") from None


def _read_step(document: Mapping[str, Any]) -> Step:
    values = {name: value for name, value in document.items() if name != "token"}
    return Step(
        **{
            **values,
            "state": StepState(document["state"]),
            "trigger": Trigger(**document["trigger"]),
        }
    )
