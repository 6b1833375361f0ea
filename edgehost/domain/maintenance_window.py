"""Maintenance windows: when changes may begin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from edgehost.domain.deployment import Window

_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_open(window: Window, local: datetime) -> bool:
    """Whether the window is open; one that ends before it begins goes on after midnight."""
    begin, end = window.begin or "00:00", window.end or "24:00"
    at = f"{local:%H:%M}"
    if begin < end:
        return begin <= at < end and _is_day(window, local)
    return (at >= begin and _is_day(window, local)) or (
        at < end and _is_day(window, local - timedelta(days=1))
    )


def _is_day(window: Window, local: datetime) -> bool:
    return not window.days or _WEEK[local.weekday()] in window.days
