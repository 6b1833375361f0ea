"""How members of records are kept secret where they are stored."""

from __future__ import annotations

from typing import Protocol


class MemberVault(Protocol):
    """Encrypts; several keys, of which the newest encrypts and all decrypt."""

    def seal(self, clear: bytes, about: str) -> str:
        """The text to be stored; another one at every call. It opens only with the same ``about``."""
        ...

    def open(self, sealed: object, about: str) -> bytes:
        """What was sealed.

        Raises:
            KeyLostError: the key that sealed it is not here; the message names the key's id.
            DamagedError: it is not what was stored, or was moved to another place.
        """
        ...

    def is_sealed(self, stored: object) -> bool:
        """Whether it looks like something that was sealed, by whatever key."""
        ...


class MemberHasher(Protocol):
    """Hashes what is only ever compared."""

    async def hashed(self, clear: str) -> str:
        """A text that says how it was made, with a salt of its own.

        Raises:
            BusyError: too many are being hashed; it is slow on purpose.
        """
        ...

    async def fits(self, clear: str, stored: str) -> bool:
        """Whether this is what was hashed; false for a text that is no hash.

        Raises:
            BusyError: as for hashed.
        """
        ...

    def is_hash(self, stored: object) -> bool:
        """Whether it looks like a hash of ours."""
        ...
