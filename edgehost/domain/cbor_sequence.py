"""CBOR sequences (RFC 8742), cut into items before anything is decoded: only what JSON has, bounded, not recursive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgehost.domain.errors import RefusedError, TooLargeError

#: As for JSON from outside.
MAX_DEPTH: Final = 32

_LENGTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_BREAK: Final = 0xFF
_INDEFINITE: Final = 31
_BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
#: false, true, null, and floats of 2, 4 and 8 bytes.
_JSON_SIMPLE: Final = frozenset({20, 21, 22, 25, 26, 27})


class MalformedCBORError(RefusedError):
    """The bytes are no CBOR, or CBOR that has no counterpart in JSON."""

    code = "malformed-cbor"


class CborItems:
    """Takes bytes as they come and gives whole items."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting = bytearray()
        self._begun = 0  # where the item begins that is not whole yet
        self._seen = 0  # up to where it is known
        self._open: list[int] = []  # members to come of each list and map around; -1: until a break

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The items that are whole now.

        Raises:
            MalformedCBORError: what comes is no item; the sequence cannot be read further.
            TooLargeError: an item is too long or too deep.
        """
        self._waiting += chunk
        while self._step():
            if not self._open:
                item = bytes(self._waiting[self._begun : self._seen])
                self._begun = self._seen
                yield item
        del self._waiting[: self._begun]
        self._seen -= self._begun
        self._begun = 0

    def finish(self) -> None:
        """Check that the sequence ends between two items.

        Raises:
            MalformedCBORError: it does not.
        """
        if self._waiting:
            raise MalformedCBORError("The sequence ends within an item.", hint="Was it cut off?")

    def _step(self) -> bool:
        """Take in one more head; whether there was one."""
        if self._seen >= len(self._waiting):
            return False
        head = self._waiting[self._seen]
        major, info = head >> 5, head & 31
        if head == _BREAK:
            self._end_indefinite()
            return True
        width = _LENGTHS.get(info, 0)
        after = self._seen + 1 + width
        if after > len(self._waiting):
            return False
        size = int.from_bytes(self._waiting[self._seen + 1 : after], "big") if width else info
        self._require_plain(major, info)
        if major == _TEXT:
            after += size
        self._require_short(
            after - self._begun + (size if major in {_LIST, _MAP} and info != _INDEFINITE else 0)
        )
        if after > len(self._waiting):
            return False
        self._seen = after
        if major in {_LIST, _MAP}:
            self._begin(-1 if info == _INDEFINITE else size * (2 if major == _MAP else 1))
        else:
            self._one_less()
        return True

    def _begin(self, members: int) -> None:
        if members == 0:
            self._one_less()
            return
        if len(self._open) >= MAX_DEPTH:
            raise TooLargeError(f"An item is nested more than {MAX_DEPTH} levels deep.", hint="Flatten it.")
        self._open.append(members)

    def _end_indefinite(self) -> None:
        if not self._open or self._open[-1] != -1:
            raise MalformedCBORError("A break stands where there is nothing to end.")
        self._open.pop()
        self._seen += 1
        self._one_less()

    def _one_less(self) -> None:
        while self._open and self._open[-1] != -1:
            self._open[-1] -= 1
            if self._open[-1]:
                return
            self._open.pop()

    def _require_plain(self, major: int, info: int) -> None:
        what = ""
        if major == _BYTES:
            what = "a byte string"
        elif major == _TAG:
            what = "a tag"
        elif major == _SIMPLE and info not in _JSON_SIMPLE:
            what = "a value"
        elif info > 27 and not (info == _INDEFINITE and major in {_LIST, _MAP}):  # noqa: PLR2004  RFC 8949, section 3
            what = "a length"
        if what:
            raise MalformedCBORError(
                f"An item holds {what} that JSON has no counterpart for.", hint="Send what JSON has."
            )

    def _require_short(self, size: int) -> None:
        if size > self._most_bytes:
            raise TooLargeError(
                f"An item has more than {self._most_bytes} bytes.", hint="Is it one record per item?"
            )
