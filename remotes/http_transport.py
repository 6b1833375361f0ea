"""A repository on a web server: any that serves a folder as it is, with or without TLS and credentials.

Hosts only read. The publisher mirrors to a folder ('edgehost publish ... --to FOLDER') and the folder is served,
or copied to where it is served: chunks and versioned metadata first, the timestamp last.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remotes.http_client import HttpClient, open_http_client
from remotes.http_files import HttpFiles
from remotes.http_options import HttpOptions
from remotes.polled_source import Pause, PolledSource, watched
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP, require_path


class HttpTransport(PolledSource):
    """See Source. Open it with open_http_transport."""

    def __init__(self, url: str, client: HttpClient) -> None:
        super().__init__()
        self._base = url.rstrip("/")
        self._files = HttpFiles(client)

    @property
    def address(self) -> str:
        """The URL under which the repository's files are."""
        return self._base

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Source."""
        url = f"{self._base}/{require_path(path)}"
        if path != TIMESTAMP:
            return await self._files.lasting(url, most_bytes=most_bytes)
        async with self.noting_the_link():
            content = await self._files.revalidated(
                url, most_bytes=most_bytes, headers={"Cache-Control": "no-cache"}
            )
        self.note_first(_mark(content))
        return content

    async def look(self) -> object:
        """See PolledSource."""
        return _mark(await self.fetch(TIMESTAMP, most_bytes=METADATA_MOST_BYTES))


def _mark(content: bytes | None) -> object:
    return None if content is None else hashlib.sha256(content).digest()


@asynccontextmanager
async def open_http_transport(
    url: str, options: HttpOptions | None = None, *, look_s: float = 60.0, pause: Pause | None = None
) -> AsyncIterator[HttpTransport]:
    """The repository under ``url``; whether the timestamp changed is asked every ``look_s`` seconds.

    Nobody is asked before the first fetch, so an address that does not answer keeps no host from starting.
    """
    async with (
        open_http_client(url, options or HttpOptions()) as client,
        watched(
            HttpTransport(url, client), look_s=look_s, pause=pause, name="edgehost.remote.http"
        ) as transport,
    ):
        yield transport
