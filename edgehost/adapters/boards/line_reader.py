"""Reads whole answers from a device line: so many bytes, or up to a delimiter, within a time."""

from __future__ import annotations

import asyncio

from edgehost.ports.device_line import DeviceLine

_CHUNK = 4096


class LineReader:
    """Keeps what arrived behind an answer for the next one."""

    def __init__(self, line: DeviceLine) -> None:
        self._line = line
        self._buffer = bytearray()

    async def exactly(self, count: int, timeout_s: float) -> bytes:
        """The next ``count`` bytes.

        Raises:
            TimeoutError: they have not come in time; what has come is kept.
            LineLostError.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while len(self._buffer) < count:
            await self._more(deadline)
        answer = bytes(self._buffer[:count])
        del self._buffer[:count]
        return answer

    async def until(self, delimiter: bytes, most: int, timeout_s: float) -> bytes:
        """What comes before the delimiter, which is taken away.

        Raises:
            TimeoutError: none has come in time, or among the first ``most`` bytes.
            LineLostError.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (end := self._buffer.find(delimiter)) < 0:
            if len(self._buffer) > most:
                self._buffer.clear()
                raise TimeoutError
            await self._more(deadline)
        answer = bytes(self._buffer[:end])
        del self._buffer[: end + len(delimiter)]
        return answer

    @property
    def waiting(self) -> bytes:
        """What has arrived and is not read: the part of an answer that came before its time was over."""
        return bytes(self._buffer)

    async def drop(self) -> None:
        """Forget all that has arrived."""
        self._buffer.clear()
        await self._line.drop_input()

    async def _more(self, deadline: float) -> None:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimeoutError
        self._buffer += await self._line.read(_CHUNK, left)
