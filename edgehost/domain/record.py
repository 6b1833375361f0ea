"""Records and their revisions.

A revision is a hybrid logical clock reading (Kulkarni et al., "Logical Physical Clocks", 2014): it sorts by
time, never repeats on one host and never goes back, even when the wall clock does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError

#: Ids travel in URLs, file names and MQTT topics, so they keep to what all of these allow.
ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_COUNTER_LIMIT: Final = 0xFFFF


@dataclass(frozen=True, slots=True, order=True)
class Revision:
    """When a record was written: milliseconds since 1970, a counter within the millisecond, the host."""

    wall_ms: int
    counter: int
    host: str

    def __str__(self) -> str:
        return f"{self.wall_ms:012x}-{self.counter:04x}-{self.host}"

    @classmethod
    def parse(cls, text: str) -> Revision:
        """Read the text form back.

        Raises:
            InvalidRecordError: the text is no revision.
        """
        match = re.fullmatch(r"([0-9a-f]{12})-([0-9a-f]{4})-([A-Za-z0-9._-]{1,64})", text)
        if match is None:
            raise InvalidRecordError(
                f"{text[:80]!r} is no revision.", hint="Use the record's 'revision' as it came."
            )
        return cls(int(match[1], 16), int(match[2], 16), match[3])


class RevisionClock:
    """Hands out revisions that only grow; ``seen`` keeps it ahead of what others wrote."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._last_ms = 0
        self._counter = 0

    def next(self, wall_ms: int) -> Revision:
        """The revision for a write at this wall time (milliseconds since 1970; may go backwards)."""
        if wall_ms > self._last_ms:
            self._last_ms, self._counter = wall_ms, 0
        elif self._counter < _COUNTER_LIMIT:
            self._counter += 1
        else:
            self._last_ms, self._counter = self._last_ms + 1, 0
        return Revision(self._last_ms, self._counter, self._host)

    def seen(self, revision: Revision) -> None:
        """Never hand out an earlier revision than this one."""
        self._last_ms, self._counter = max(
            (self._last_ms, self._counter), (revision.wall_ms, revision.counter)
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One stored object of a model. ``data`` is never changed in place: make another record."""

    model: str
    id: str
    data: Mapping[str, Any]
    revision: str
    created_at: float  # unix seconds
    updated_at: float  # unix seconds
    idempotency_key: str = field(default="", kw_only=True)  # of the request that created it
    request_digest: str = field(default="", kw_only=True)  # sha256 of that request's body
    #: Members that nobody is shown: stored hashes, and what was encrypted under a key that is not here.
    withheld: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)
    #: Those of them that somebody may read once the reason given is removed.
    unreadable: Mapping[str, str] = field(default_factory=dict, kw_only=True)


#: Behind an endpoint these are paths of their own.
RESERVED_IDS: Final = frozenset({"bulk", "td"})


def require_new_id(text: str) -> str:
    """The id itself, when a new record may have it.

    Raises:
        InvalidRecordError: as for ``require_record_id``; or the host needs it for itself.
    """
    if text in RESERVED_IDS:
        raise InvalidRecordError(f"{text!r} cannot be a record id: it is a path.", hint="Use another one.")
    return require_record_id(text)


def require_record_id(text: str) -> str:
    """The id itself, when it may name a record.

    Raises:
        InvalidRecordError: it has other characters, or is empty or longer than 128.
    """
    if not ID_PATTERN.fullmatch(text):
        raise InvalidRecordError(
            f"{text[:80]!r} cannot be a record id.",
            hint="Use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit.",
        )
    return text
