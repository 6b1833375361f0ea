"""Extism's own memory: blocks in 64-bit offsets, apart from the guest's linear memory.

It keeps the official kernel's layout, so that a plug-in sees the same offsets, the same reuse of freed blocks
and the same answers to wrong offsets. A block has a header of twelve bytes (status, size, bytes in use) in
front of its data; the first block starts at 65. Block sizes are also kept on the side, and those decide:
overwriting a header changes nothing.
"""

from __future__ import annotations

import struct
from bisect import insort
from collections.abc import Callable
from typing import Final

from edgehost.adapters.sandbox.worker.faults import Trap

PAGE: Final = 65_536
_ROOT: Final = 64  # the kernel's own bookkeeping
_FIRST: Final = _ROOT + 1
_HEADER: Final = struct.Struct("<B3xII")
_SPLIT: Final = 128  # a freed block is split when this much would be left over
_U64: Final = (1 << 64) - 1
_U32: Final = (1 << 32) - 1
_ACTIVE, _FREE = 1, 2
_word = struct.Struct("<q")
_load, _store = _word.unpack_from, _word.pack_into


class ExtismMemory:
    """Every method takes and gives what the guest does: 64-bit values in wasm3's signed form."""

    def __init__(self, room_pages: Callable[[], int]) -> None:
        self._room_pages = room_pages  # how many pages this memory may have now
        self._bytes = bytearray(PAGE)
        self.reset()

    def reset(self) -> None:
        """Forget every block; before each call. Pages once taken are kept."""
        position = getattr(self, "_position", 0)
        self._bytes[_FIRST : _FIRST + position] = bytes(position)
        self._position = 0
        self._sizes: dict[int, int] = {}  # active blocks: offset -> whole size
        self._used: dict[int, int] = {}  # active blocks: offset -> bytes in use
        self._freed: list[int] = []  # offsets of freed blocks, in order
        self._freed_sizes: dict[int, int] = {}
        self._error = 0
        self._input = self._input_length = 0
        self._output = self._output_length = 0

    @property
    def size_bytes(self) -> int:
        """How much the memory takes."""
        return len(self._bytes)

    def alloc(self, length: int) -> int:
        """A block of that many bytes, or 0 for none."""
        if length == 0:
            return 0
        length &= _U64
        wanted = length + _HEADER.size
        left = len(self._bytes) - _ROOT - self._position - _ROOT
        offset = None
        if left <= wanted <= self._position:  # freed blocks are looked at only before the memory would grow
            offset = self._reusable(length)
        if offset is None:
            if wanted >= left:
                self._grow(-(-(wanted - left) // PAGE))
            offset = _FIRST + self._position + _HEADER.size
            self._position += wanted
            self._sizes[offset] = length
        self._used[offset] = length
        _HEADER.pack_into(self._bytes, offset - _HEADER.size, _ACTIVE, self._sizes[offset], length)
        return offset

    def _reusable(self, length: int) -> int | None:
        for at, offset in enumerate(self._freed):
            size = self._freed_sizes[offset]
            if size < length:
                continue
            left = size - length
            if left < _SPLIT:
                del self._freed[at], self._freed_sizes[offset]
                self._sizes[offset] = size
                return offset
            left -= _HEADER.size
            self._freed_sizes[offset] = left
            _HEADER.pack_into(self._bytes, offset - _HEADER.size, _FREE, left, 0)
            taken = offset + left + _HEADER.size
            self._sizes[taken] = length
            return taken
        return None

    def _grow(self, pages: int) -> None:
        if len(self._bytes) // PAGE + pages > self._room_pages():
            raise Trap("oom: out of memory")
        self._bytes.extend(bytes(pages * PAGE))

    def free(self, offset: int) -> None:
        """Give a block back; anything that is no active block is ignored."""
        offset &= _U64
        size = self._sizes.pop(offset, None)
        if size is None:
            return
        del self._used[offset]
        self._bytes[offset - _HEADER.size] = _FREE
        insort(self._freed, offset)
        self._freed_sizes[offset] = size
        if offset == self._input:
            self._input_length = 0

    def length(self, offset: int) -> int:
        """Bytes in use of an active block, else 0."""
        return self._used.get(offset & _U64, 0)

    def length_unsafe(self, offset: int) -> int:
        """The same as the block's header tells it."""
        offset &= _U64
        if not _ROOT <= offset <= len(self._bytes):
            return 0
        status, _, used = _HEADER.unpack_from(self._bytes, offset - _HEADER.size)
        return int(used) if status == _ACTIVE else 0

    def load_u8(self, offset: int) -> int:
        """One byte; 0 outside of the memory."""
        offset &= _U64
        return self._bytes[offset] if _ROOT <= offset < len(self._bytes) else 0

    def load_u64(self, offset: int) -> int:
        """Eight bytes; 0 outside of the memory."""
        last = offset + 7 & _U64
        return int(_load(self._bytes, last - 7)[0]) if _ROOT <= last < len(self._bytes) else 0

    def store_u8(self, offset: int, value: int) -> None:
        """Write one byte; nothing happens outside of the memory."""
        offset &= _U64
        if _ROOT <= offset < len(self._bytes):
            self._bytes[offset] = value & 0xFF

    def store_u64(self, offset: int, value: int) -> None:
        """Write eight bytes; nothing happens outside of the memory."""
        last = offset + 7 & _U64
        if _ROOT <= last < len(self._bytes):
            _store(self._bytes, last - 7, value)

    def input_length(self) -> int:
        """Length of the input."""
        return self._input_length

    def input_offset(self) -> int:
        """Where the input is."""
        return self._input

    def input_load_u8(self, offset: int) -> int:
        """A byte of the input; 0 past its end."""
        offset &= _U64
        if offset >= self._input_length:
            return 0
        return self._bytes[self._input + offset]

    def input_load_u64(self, offset: int) -> int:
        """Eight bytes of the input; 0 past its end, and what stands before it for -8 to -1."""
        if (offset + 8) & _U64 > self._input_length:
            return 0
        at = (self._input + offset) & _U32
        if at + 8 > len(self._bytes):
            raise Trap("out of bounds memory access")
        return int(_load(self._bytes, at)[0])

    def output_set(self, offset: int, length: int) -> None:
        """Say where the output is; a range that is not in the memory is ignored."""
        offset, length = offset & _U64, length & _U64
        if self._holds(offset) and self._holds(offset + length - 1 & _U64):
            self._output, self._output_length = offset, length

    def error_set(self, offset: int) -> None:
        """Say where the error text is; 0 takes it back."""
        offset &= _U64
        if offset == 0 or self._holds(offset):
            self._error = offset

    def error_get(self) -> int:
        """Where the error text is, or 0."""
        return self._error

    def take_input(self, data: bytes) -> None:
        """Put a call's input in its place."""
        offset = self.put(data)
        if offset:
            self._input, self._input_length = offset, len(data)

    def put(self, data: bytes) -> int:
        """A new block that holds the data; 0 for no data."""
        offset = self.alloc(len(data))
        self._bytes[offset : offset + len(data)] = data
        return offset

    def block(self, offset: int, what: str) -> bytes:
        """What an active block holds; offset 0 holds nothing."""
        length = self.length(offset)
        if offset and not length:
            raise Trap(f"invalid handle offset for {what}: {offset & _U64}")
        offset &= _U64
        return bytes(self._bytes[offset : offset + length])

    def output(self, most: int) -> bytes | None:
        """The output, or None when it is longer than ``most``."""
        if self._output_length > most:
            return None
        return bytes(self._bytes[self._output : self._output + self._output_length])

    def error(self) -> bytes:
        """The error text, or nothing."""
        return self.block(self._error, "error") if self.length(self._error) else b""

    def _holds(self, offset: int) -> bool:
        return _FIRST <= offset < _FIRST + len(self._bytes) - _ROOT
