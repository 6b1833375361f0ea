"""What is known of one unhappy end of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

#: Reports kept, and bytes of one: a host that crashes for weeks fills no disk.
MOST_REPORTS: Final = 10
MOST_DETAIL: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class CrashReport:
    """``kind``: exception, signal, out-of-memory, died (nothing else is known), rebooted."""

    kind: str
    reason: str
    at: float  # unix seconds, by the clock at that moment or at the start that noticed it
    version: str
    generation: int = 0
    was_well: bool = False
    detail: str = ""  # traceback or the fault handler's text, its end when it is long
    number: int = 0

    def document(self) -> dict[str, Any]:
        """Ready for JSON, bounded."""
        return {**asdict(self), "detail": self.detail[-MOST_DETAIL:], "reason": self.reason[:1000]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CrashReport:
        """What was stored.

        Raises:
            TypeError: something else was.
        """
        return cls(**document)
