"""Who sends a request, as the use cases want to know it."""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection

from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModel

#: A sticky word is hashed for each call.
_LONGEST_WORD: Final = 256


def context_of(connection: HTTPConnection, model: LiveModel) -> CallContext:
    """The context of calls on behalf of this request."""
    return CallContext(sticky=connection.headers.get(model.sticky_header, "")[:_LONGEST_WORD])
