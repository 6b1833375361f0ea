"""The time that expiry is judged by, on machines whose clock may start at 1970.

The floor is the newest moment that is known to be past: when this program was written, and the signing time of
accepted metadata. The local clock counts only after a check has passed under it, so it is never later than the
expiry of the accepted timestamp: a clock that ran ahead once is outlived by the next timestamp. The floor
belongs to the timestamp keys. Replacing them in the root clears it, as TUF clears version numbers then: stolen
keys cannot date it into the far future for good.

So a clock that stands at 2035 for an hour leaves no trace: no metadata of today holds in 2035, each check is refused
with both times in its message, and once the clock is set the next check passes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from remotes.durable_file import read_bounded, write_durably

#: No metadata that this version reads was signed before.
EARLIEST: Final = datetime(2026, 11, 1, tzinfo=UTC)
FLOOR_FILE: Final = "clock_floor.json"
_MOST_BYTES: Final = 4096
#: Flash wears out: the floor is written when it would rise by an hour.
_STEP_S: Final = 3600
_MOMENT: Final = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class ClockFloor:
    """Seconds since 1970, and the keys that vouch for them."""

    seconds: int = 0
    keys: tuple[str, ...] = ()

    def reference(self, now: float, keys: Iterable[str]) -> datetime:
        """The time to judge expiry by."""
        floor = self.seconds if self.keys == tuple(sorted(keys)) else 0
        return from_seconds(max(now, floor, EARLIEST.timestamp()))

    def raised_to(self, moment: datetime, keys: Iterable[str]) -> ClockFloor:
        """The floor after a check that passed; the same one when a write is not worth it."""
        vouching = tuple(sorted(keys))
        seconds = int(moment.timestamp())
        if vouching == self.keys and seconds < self.seconds + _STEP_S:
            return self
        return ClockFloor(seconds, vouching)


def from_seconds(seconds: float) -> datetime:
    """The moment, cut to what a datetime can say."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), 253_402_300_799.0), UTC)


def read_floor(folder: Path) -> ClockFloor:
    """The persisted floor; a missing or damaged file is no floor."""
    return _read(folder) or ClockFloor()


def newest_floor(folders: Iterable[Path]) -> int:
    """The newest of several persisted floors, in seconds since 1970; 0 when there is none."""
    return max((read_floor(each).seconds for each in folders), default=0)


def is_damaged_floor(folder: Path) -> bool:
    """Whether there is a file, and it is no floor."""
    return (folder / FLOOR_FILE).exists() and _read(folder) is None


def _read(folder: Path) -> ClockFloor | None:
    content = read_bounded(folder / FLOOR_FILE, _MOST_BYTES)
    try:
        document = json.loads(content or b"{}")
        return ClockFloor(int(document["seconds"]), tuple(str(key) for key in document["keys"]))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def write_floor(folder: Path, floor: ClockFloor) -> None:
    """Persist the floor."""
    document = {"seconds": floor.seconds, "keys": list(floor.keys)}
    write_durably(folder / FLOOR_FILE, json.dumps(document).encode())


def signed_time(folder: Path) -> Callable[[], float]:
    """A clock for machines whose own is never right: the floor, and what has passed since it was read."""
    begun, floor = time.monotonic(), read_floor(folder).seconds
    return lambda: floor + time.monotonic() - begun


def raise_floor(folder: Path, now: float) -> None:
    """Raise the persisted floor to a time under which accepted metadata has just been seen to hold."""
    floor = read_floor(folder)
    raised = floor.raised_to(from_seconds(now), floor.keys)
    if raised is not floor and floor.keys:
        write_floor(folder, raised)


def expiry_words(judged_at: datetime, vouched: datetime, *, is_root: bool = False) -> tuple[str, str]:
    """How to go on after "it has expired", and what to do: both times, since either may be the wrong one."""
    then = (
        "the holders of the root keys must run 'edgehost remote rotate'."
        if is_root
        else "the publisher must run 'edgehost remote refresh'."
    )
    if judged_at <= vouched:
        judged = f", judged at {judged_at:{_MOMENT}} UTC, which signatures vouch for"
        return judged, f"It was signed too long ago: {then}"
    ahead = judged_at - vouched
    by = f"{ahead.days} days" if ahead.days else f"{ahead.seconds // 60} minutes"
    by_clock = f"judged at {judged_at:{_MOMENT}} UTC by this machine's clock"
    by_keys = f"the newest time that signatures vouch for is {vouched:{_MOMENT}} UTC"
    look = f"Check this machine's clock, which is {by} ahead of that: once it is set, the next check passes."
    return f", {by_clock}; {by_keys}", f"{look} If it is right, {then}"
