"""Carriers whose publisher writes a folder and whose readers find it on a web server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from remotes.folder_transport import open_folder_transport
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.transport import Source, Transport
from tests.remotes.web_server import open_nginx

WEB_CARRIERS = ("http",)
#: Loopback answers at once or not at all.
QUICK = HttpOptions(connect_timeout_s=5, answer_timeout_s=5, progress_timeout_s=5)


@asynccontextmanager
async def open_web_carrier(carrier: str, folder: Path) -> AsyncIterator[tuple[Transport, Source]]:
    """A publisher's and a reader's side of it."""
    place = folder / "mirror"
    place.mkdir()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(open_nginx(place))
        publisher = await stack.enter_async_context(open_folder_transport(place, poll_s=0.02))
        reader = await stack.enter_async_context(open_http_transport(server.url, QUICK, look_s=0.02))
        yield publisher, reader
