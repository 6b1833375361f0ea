"""Whose call this is, for what happens far below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from edgehost.ports.sandbox import CallContext

_calling: ContextVar[CallContext] = ContextVar("calling", default=CallContext())


def current_call() -> CallContext:
    """The call of a guest that this task answers; an empty one outside of any."""
    return _calling.get()


@contextmanager
def answering(context: CallContext) -> Iterator[None]:
    """Everything inside is done on behalf of this call."""
    token = _calling.set(context)
    try:
        yield
    finally:
        _calling.reset(token)
