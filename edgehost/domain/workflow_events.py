"""Facts about workflows and pipelines: steps, records on their way, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMoved(Event):
    """A step of a record's workflow began, ended, failed or was taken back."""

    type: ClassVar[str] = "edgehost.workflow.step"
    model: str
    id: str
    port: str
    token: str
    state: str
    attempt: int
    reason: str = ""

    @property
    def subject(self) -> str:
        """``model/id/port``."""
        return f"{self.model}/{self.id}/{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMoved(Event):
    """A record's workflow as a whole: running, completed, undoing, undone or stuck."""

    type: ClassVar[str] = "edgehost.workflow.moved"
    model: str
    id: str
    state: str
    reason: str = ""

    @property
    def subject(self) -> str:
        """``model/id``."""
        return f"{self.model}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineEnded(Event):
    """A pipeline that an event started came to its end; ``code`` is empty when every step did its work."""

    type: ClassVar[str] = "edgehost.pipeline.ended"
    pipeline: str
    data: Any = None  # what came out, when it is JSON and not too much
    code: str = ""
    reason: str = ""

    @property
    def subject(self) -> str:
        """The pipeline's name."""
        return self.pipeline
