"""What an operator may ask of the certificates that the host renews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class CertificateControl(Protocol):
    """Answers are ready for JSON and hold no secret."""

    async def certificates(self) -> Sequence[Mapping[str, Any]]:
        """Each certificate: standing, subject, dates, when it is renewed, what went wrong last."""
        ...

    async def twin(self) -> Mapping[str, Any]:
        """The same by name, for the fleet: what changes seldom."""
        ...

    async def renew(self, name: str, *, dry_run: bool = False) -> Mapping[str, Any]:
        """Renew it now, however long it holds; a dry run asks the authority and has nothing signed.

        Raises:
            NotFoundError: there is no such certificate.
            RefusedError, UnavailableError: it was asked in vain; the one before is in use.
        """
        ...
