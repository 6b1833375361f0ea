"""smpclient's transport over a device line: SMP frames in base64 lines between whatever else a console prints."""

from __future__ import annotations

import struct
from typing import Final

from smp import packet
from smp.exceptions import SMPException
from smpclient.transport import SMPTransport

from edgehost.adapters.boards.line_reader import LineReader
from edgehost.ports.device_line import DeviceLine

#: Base64 characters and delimiters of one line, by convention of every server.
_LINE: Final = 128
#: Length and CRC share the server's buffer with the message.
_OVERHEAD: Final = 4
#: Of a server that does not tell: less than the 384 bytes of Zephyr's default.
_BUFFER: Final = 256
_MOST_LINE: Final = 8192
_FOREVER_S: Final = 3600.0  # the client has a time for each request
#: Where a message has its number; no message is shorter than this header.
_SEQUENCE: Final = 6
_STARTS: Final = (packet.START_DELIMITER, packet.CONTINUE_DELIMITER)


class LineSmpTransport(SMPTransport):
    """The line is opened and closed by whoever has it. ``most_bytes`` bounds what the server says it takes; 0: it does."""

    def __init__(self, line: DeviceLine, most_bytes: int = 0) -> None:
        self._line = line
        self._most_bytes = most_bytes
        self._reader = LineReader(line)

    async def connect(self, address: str, timeout_s: float) -> None:
        """Nothing: the line is open."""

    async def disconnect(self) -> None:
        """Nothing: the line is closed by its owner."""

    async def send(self, data: bytes) -> None:
        """One request."""
        await self._line.write(b"".join(packet.encode(data, _LINE)))

    async def receive(self) -> bytes:
        """One answer; a frame that is broken is left out, and its request runs into its time."""
        decoder = packet.decode()
        is_begun = False
        while True:
            text = await self._reader.until(b"\n", _MOST_LINE, _FOREVER_S)
            starts = [at for at in map(text.rfind, _STARTS) if at >= 0]
            if not starts:
                continue
            piece = text[max(starts) :]
            if piece.startswith(packet.START_DELIMITER):
                decoder, is_begun = packet.decode(), True
                next(decoder)
            if not is_begun:
                continue
            try:
                decoder.send(piece + b"\n")
            except StopIteration as whole:
                frame = bytes(whole.value)
                is_begun = False
                if len(frame) > _SEQUENCE:
                    return frame
            except (SMPException, ValueError, struct.error):
                is_begun = False

    async def send_and_receive(self, data: bytes) -> bytes:
        """One request and its answer; one that is late is not taken for the next one's."""
        await self._reader.drop()
        await self.send(data)
        while (answer := await self.receive())[_SEQUENCE] != data[_SEQUENCE]:
            pass
        return answer

    @property
    def mtu(self) -> int:
        """Bytes of a line."""
        return _LINE

    @property
    def max_unencoded_size(self) -> int:
        """The longest message that the server takes."""
        size = self._smp_server_transport_buffer_size or _BUFFER
        return min(size, self._most_bytes or size) - _OVERHEAD
