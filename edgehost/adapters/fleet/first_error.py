"""Reader and writer of a connection fail of the same: one of their errors says it."""

from __future__ import annotations

from typing import Any


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error in the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
