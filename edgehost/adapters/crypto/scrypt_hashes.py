"""Hashes by scrypt (RFC 7914), which takes memory so that machines that guess cannot be small."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from edgehost.domain.errors import BusyError

#: $scrypt$ln=14,r=8,p=5$SALT$HASH, as other programs write it too.
_STORED: Final = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{16,88})\$([A-Za-z0-9+/]{43,88})"
)
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
#: A hash takes 16 MiB, so one is made at a time; the others wait.
_AT_ONCE: Final = 1
_MOST_WAITING: Final = 32
#: What a stored hash may ask for: 64 MiB.
_MOST_MEMORY_BYTES: Final = 64 * 1024 * 1024


class Cost(NamedTuple):
    """Parameters of scrypt; OWASP holds 2^14, 8, 5 for as good as 2^17, 8, 1, which boards have no memory for."""

    ln: int = 14
    r: int = 8
    p: int = 5

    @property
    def memory_bytes(self) -> int:
        """What the algorithm works on."""
        return 128 * self.r * ((1 << self.ln) + self.p)


#: As documented at Cost.
STANDARD: Final = Cost()


class ScryptHashes:
    """A hash at a time, in a thread."""

    def __init__(self, cost: Cost = STANDARD) -> None:
        self._cost = cost
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hashed(self, clear: str) -> str:
        """The text that is stored.

        Raises:
            BusyError: too many are being hashed.
        """
        salt = secrets.token_bytes(_SALT_BYTES)
        digest = await self._scrypt(clear, salt, self._cost)
        cost = self._cost
        return f"$scrypt$ln={cost.ln},r={cost.r},p={cost.p}${_encoded(salt)}${_encoded(digest)}"

    async def fits(self, clear: str, stored: str) -> bool:
        """Whether this is what was hashed.

        Raises:
            BusyError: too many are being hashed.
        """
        match = _STORED.fullmatch(stored)
        if match is None:
            return False
        cost = Cost(int(match[1]), int(match[2]), int(match[3]))
        if not cost.ln or not cost.r or not cost.p or cost.memory_bytes > _MOST_MEMORY_BYTES:
            return False
        try:
            salt, digest = _decoded(match[4]), _decoded(match[5])
        except binascii.Error:
            return False
        return hmac.compare_digest(await self._scrypt(clear, salt, cost, len(digest)), digest)

    def is_hash(self, stored: object) -> bool:
        """Whether it looks like a hash of ours."""
        return isinstance(stored, str) and _STORED.fullmatch(stored) is not None

    async def _scrypt(self, clear: str, salt: bytes, cost: Cost, size: int = _HASH_BYTES) -> bytes:
        def work() -> bytes:
            return hashlib.scrypt(
                clear.encode(),
                salt=salt,
                n=1 << cost.ln,
                r=cost.r,
                p=cost.p,
                maxmem=2 * _MOST_MEMORY_BYTES,
                dklen=size,
            )

        async with self._own_turn():
            return await asyncio.to_thread(work)

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise BusyError(f"{self._waiting} values wait to be hashed.", hint="Try again in some seconds.")
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
