"""Unix seconds as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_LATEST: Final = 253_402_300_799.0  # the last second of the year 9999
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def moment(unix_s: object) -> str:
    """Local date and time; a dash when it never was."""
    if not isinstance(unix_s, int | float) or not 0 < unix_s <= _LATEST:
        return "-"
    return f"{datetime.fromtimestamp(unix_s, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def span(seconds: object) -> str:
    """A length of time in its two largest units."""
    if not isinstance(seconds, int | float) or seconds < 0:
        return "-"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
