"""What is common to all that a remote signs: enough to fetch it and to know that it is what was signed."""

from __future__ import annotations

from typing import Protocol


class SignedContent(Protocol):
    """``OfferedRelease`` and ``SignedDocument`` meet it."""

    @property
    def digest(self) -> str:
        """The sha256 of all its bytes, lower-case hex."""
        ...

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        ...

    @property
    def version(self) -> str:
        """Which of its name it is, for messages."""
        ...

    @property
    def remote(self) -> str:
        """Which remote vouches for it."""
        ...

    @property
    def target_path(self) -> str:
        """The path that it is signed under."""
        ...

    @property
    def chunks(self) -> tuple[str, ...]:
        """The sha256 of each chunk, in order."""
        ...
