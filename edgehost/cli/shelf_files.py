"""A host's shelf as files that are only read: the host may run meanwhile, and need not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from edgehost.domain.errors import NotFoundError

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ShelfFiles:
    """Meets remotes.shelf_repository.PartShelf over a FolderShelf's folder."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / "files"

    async def has(self, digest: str) -> bool:
        """Whether the component is here."""
        return _DIGEST.fullmatch(digest) is not None and await asyncio.to_thread(
            (self._files / digest).is_file
        )

    async def get_part(self, digest: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of the component, unchecked; fewer when it ends before.

        Raises:
            NotFoundError: it is not here, or cannot be read.
        """
        if not await self.has(digest):
            raise NotFoundError(f"There is no file {digest[:12]} on the shelf.")
        return await asyncio.to_thread(self._part, digest, offset, size_bytes)

    def _part(self, digest: str, offset: int, size_bytes: int) -> bytes:
        try:
            with (self._files / digest).open("rb") as file:
                file.seek(offset)
                return file.read(size_bytes)
        except OSError as error:
            raise NotFoundError(f"The file {digest[:12]} cannot be read ({error.strerror}).") from None
