"""Frames between the agent and a sandbox: one byte of kind, four of length, then the body.

Both sides read a header first and refuse a body that is longer than that kind of frame may be, so neither
ever buffers what it did not ask for.
"""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct("<BI")
CALL_HEAD: Final = struct.Struct("<dH")  # seconds left, length of the export's name
ERROR_HEAD: Final = struct.Struct("<BBH")  # code, flags, length of the message; the hint follows it

# Agent to sandbox.
LOAD: Final = 1  # u32 length of a JSON document, the document, the module
EXPORTS: Final = 2
CALL: Final = 3
HOST_REPLY: Final = 4  # status byte, payload

# Sandbox to agent.
LOADED: Final = 16  # JSON: the state of each defence
NAMES: Final = 17  # JSON: the exports
RESULT: Final = 18  # flags byte, payload
ERROR: Final = 19
HOST_CALL: Final = 20  # length of the name (one byte), name, payload
HTTP: Final = 21  # u32 length of a JSON document, the document, the body
LOG: Final = 22  # level byte, text

# Flags of RESULT and ERROR.
RETIRE: Final = 1  # the answer holds, but the instance must not be used again

# Codes of ERROR.
TRAP: Final = 1
FAILED: Final = 2
NO_EXPORT: Final = 3
TOO_LARGE: Final = 4
INVALID: Final = 5
REFUSED: Final = 6
PROTOCOL: Final = 7
ENGINE: Final = 8  # wasm3 said something that is no trap: its state is unknown

# Status of HOST_REPLY.
OK: Final = 0
DENIED: Final = 1  # payload is the text of the trap

LEVELS: Final = ("trace", "debug", "info", "warning", "error")

LONGEST_TEXT: Final = 4096  # bytes of one log line or error message
LONGEST_NAME: Final = 128  # an export or host function; the specification reader allows no more


def frame(kind: int, *parts: bytes) -> bytes:
    """One frame, ready to be written."""
    return b"".join((HEADER.pack(kind, sum(map(len, parts))), *parts))


def error_body(code: int, message: str, hint: str = "", *, retire: bool = False) -> bytes:
    """The body of an ERROR frame; texts are cut to what the other side accepts."""
    text = clip(message)
    return ERROR_HEAD.pack(code, RETIRE if retire else 0, len(text)) + text + clip(hint)


def read_error(body: bytes) -> tuple[int, bool, str, str]:
    """Code, whether to retire the instance, message and hint of an ERROR frame."""
    code, flags, length = ERROR_HEAD.unpack_from(body)
    start = ERROR_HEAD.size
    message = body[start : start + length].decode("utf-8", "replace")
    return code, bool(flags & RETIRE), message, body[start + length :].decode("utf-8", "replace")


def clip(text: str) -> bytes:
    """UTF-8, at most LONGEST_TEXT bytes, never half a character at the end."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= LONGEST_TEXT:
        return raw
    return raw[:LONGEST_TEXT].decode("utf-8", "ignore").encode()
