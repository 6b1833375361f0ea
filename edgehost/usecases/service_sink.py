"""A sink that is a service of the host: a broker, a web server, a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.ports.service import Service

_TIMEOUT_S: Final = 30.0
#: Where services of this kind look for what they are to send.
_MEMBERS: Final[Mapping[str, str]] = {"mqtt": "payload", "http": "json", "websocket": "json"}


@dataclass(slots=True)
class ServiceSink:
    """One call for each event; an event that was taken is not sent again when a later one fails."""

    service: Service
    kind: str
    function: str = ""  # "": the service's first
    given: Mapping[str, Any] = field(default_factory=dict)
    _taken: int = 0  # of the batch that is being sent

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Hand these over, in this order."""
        function = self.function or next(iter(self.service.functions))
        member = _MEMBERS.get(self.kind, "")
        while self._taken < len(events):
            event = events[self._taken]
            given = {**self.given, member: event} if member else {**self.given, **event}
            await self.service.call(function, given, timeout_s=_TIMEOUT_S)
            self._taken += 1
        self._taken = 0
