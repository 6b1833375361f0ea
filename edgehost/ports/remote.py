"""A repository of signed releases, whatever carries it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, runtime_checkable

from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import SignedDocument
from edgehost.domain.transfer import Transfer


class Remote(Protocol):
    """One configured remote. Everything it returns has passed the trust check."""

    @property
    def name(self) -> str:
        """The name it has in the configuration."""
        ...

    async def refresh(self) -> tuple[OfferedRelease, ...]:
        """Check the remote's metadata and name what it offers, newest last for each component.

        Raises:
            UntrustedReleaseError: the metadata does not hold; the message says which attack it looks like.
            RemoteUnreachableError: the transport does not answer.
        """
        ...

    def documents(self) -> tuple[SignedDocument, ...]:
        """The documents that the last refresh found, oldest first in each name; none before the first."""
        ...

    async def fetch(
        self,
        content: SignedContent,
        *,
        progress: Callable[[int, int], None] | None = None,
        base: Callable[[str], Awaitable[bytes]] | None = None,
        transfer: Transfer | None = None,
    ) -> bytes:
        """The bytes of a release or a document, size and digest checked; resumes from what an earlier try left.

        ``progress`` gets (bytes so far, bytes in all). ``base`` gives the bytes of a release that is here, by digest,
        so that only the difference need be fetched where one is signed; it raises NotFoundError or DamagedError.
        ``transfer`` notes what was received.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError, StorageFullError.
        """
        ...

    def changes(self) -> AsyncIterator[None]:
        """One item whenever the remote says that it has something new; ends when the remote closes."""
        ...


@runtime_checkable
class LinkedRemote(Protocol):
    """A remote that also tells whether it is in touch; others are taken to be, until a check fails."""

    @property
    def connected(self) -> bool:
        """Whether its link is up; says nothing of what it serves."""
        ...

    def link_changes(self) -> AsyncIterator[None]:
        """One item after ``connected`` may have changed; ends when the remote closes."""
        ...
