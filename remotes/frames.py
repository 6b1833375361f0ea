"""Messages between the agent and its trust process: four bytes of length, one of kind, then the body."""

from __future__ import annotations

import enum
import struct
from typing import Final

from edgehost.domain.errors import (
    EdgehostError,
    InvalidConfigError,
    RemoteUnreachableError,
    StorageFullError,
    TooLargeError,
    UntrustedReleaseError,
)

#: The largest metadata file, or the offers in it written out again.
BODY_MOST_BYTES: Final = 4_194_304
HEADER: Final = struct.Struct(">IB")


class Frame(enum.IntEnum):
    """What a body is."""

    CHECK = 1  # agent: a request, JSON
    FETCH = 2  # trust process: a path and a bound, JSON
    FOUND = 3  # agent: the file
    MISSING = 4  # agent: there is none
    ERROR = 5  # either: an error by its code, JSON
    VERDICT = 6  # trust process: JSON


#: The errors that cross the pipe; any other ends the process.
ERRORS: Final[dict[str, type[EdgehostError]]] = {
    kind.code: kind
    for kind in (
        InvalidConfigError,
        RemoteUnreachableError,
        StorageFullError,
        TooLargeError,
        UntrustedReleaseError,
    )
}


class BrokenFrameError(Exception):
    """The other side does not keep to the format."""


class AgentGoneError(BrokenFrameError):
    """The agent hung up in the middle of a check."""


def packed(kind: Frame, body: bytes = b"") -> bytes:
    """The bytes of one message."""
    if len(body) > BODY_MOST_BYTES:
        raise BrokenFrameError(f"a body of {len(body)} bytes")
    return HEADER.pack(len(body), kind) + body


def parsed_header(header: bytes) -> tuple[Frame, int]:
    """Kind and length of the body that follows.

    Raises:
        BrokenFrameError: an unknown kind or an over-long body.
    """
    size, kind = HEADER.unpack(header)
    if size > BODY_MOST_BYTES or kind not in set(Frame):
        raise BrokenFrameError(f"kind {kind} with {size} bytes")
    return Frame(kind), size
