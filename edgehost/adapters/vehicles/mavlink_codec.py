"""MAVLink frames without I/O: bytes in, messages out, over pymavlink's dialect ``common``."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

#: The longest frame: 10 of header, 255 of payload, 2 of checksum, 13 of signature (MAVLink 2).
LONGEST_FRAME: Final = 280
#: Signatures count tens of microseconds since 2015-01-01 (MAVLink 2, message signing).
_SIGNING_EPOCH_S: Final = 1_420_070_400
#: Streams whose last timestamp is remembered; more than these do not share one vehicle's link.
_MOST_STREAMS: Final = 64
_KEY_BYTES: Final = 32


class _Protocol(mavlink.MAVLink):  # type: ignore[misc] # pymavlink's types are not read
    """pymavlink's own, which notes a frame's timestamp before it has looked at its signature: here after."""

    def check_signature(self, msgbuf: bytearray, srcSystem: int, srcComponent: int) -> bool:  # noqa: N803 - theirs
        """Whether the frame is signed with our key, and is no replay."""
        expected = hashlib.sha256(self.signing.secret_key + msgbuf[:-6]).digest()[:6]
        if not hmac.compare_digest(expected, bytes(msgbuf[-6:])):
            return False
        if len(self.signing.stream_timestamps) >= _MOST_STREAMS:
            return False
        return bool(super().check_signature(msgbuf, srcSystem, srcComponent))


class MavlinkCodec:
    """One end of a link: what it sends as, what it takes, and how many bytes made no sense."""

    def __init__(
        self, system_id: int, component_id: int, *, key: bytes | None = None, unix_s: float = 0.0
    ) -> None:
        self._protocol = _Protocol(None, srcSystem=system_id, srcComponent=component_id)
        self._protocol.robust_parsing = True
        self.bad = 0
        if key is not None:
            signing = self._protocol.signing
            signing.secret_key = key
            signing.sign_outgoing = True
            # A clock that is behind is set right by the first signed frame of the vehicle.
            signing.timestamp = max(0, int((unix_s - _SIGNING_EPOCH_S) * 100_000))

    def fed(self, content: bytes, *, whole: bool) -> list[Any]:
        """The messages that are complete now; ``whole``: no frame goes on in the next piece."""
        protocol, messages = self._protocol, []
        piece = content
        while True:
            try:
                message = protocol.parse_char(piece)
            except Exception:  # noqa: BLE001 - a frame that pymavlink stumbles over is a bad frame
                self.bad += 1
                protocol.buf, protocol.buf_index = bytearray(), 0
                break
            piece = b""
            if message is None:
                break
            kind = message.get_type()
            if kind == "BAD_DATA":
                self.bad += 1
            elif not kind.startswith("UNKNOWN"):
                messages.append(message)
        rest = protocol.buf[protocol.buf_index :]
        if whole and rest:
            self.bad += 1
            rest = bytearray()
        protocol.buf, protocol.buf_index = rest[-LONGEST_FRAME:], 0
        return messages

    def framed(self, message: Any) -> bytes:  # noqa: ANN401 - pymavlink's messages have no common type
        """The message as the next frame."""
        frame = bytes(message.pack(self._protocol))
        self._protocol.seq = (self._protocol.seq + 1) % 256
        return frame


def key_of(secret: str) -> bytes:
    """A signing key: 64 hexadecimal digits as they stand, anything else by its SHA-256, as ground stations do."""
    try:
        key = bytes.fromhex(secret)
    except ValueError:
        key = b""
    return key if len(key) == _KEY_BYTES else hashlib.sha256(secret.encode()).digest()
