"""Carriers whose publisher writes a folder that readers find elsewhere: on a web server, or on a forge, in a bundle on a stick."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from remotes.bundle_file import written_bundle
from remotes.folder_transport import FolderTransport, open_folder_transport
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.stick_transport import open_stick_transport
from remotes.transport import Source, Transport
from remotes.tree_transport import Tree, open_tree_transport
from tests.remotes.forge_server import open_forge
from tests.remotes.web_server import open_nginx

WEB_CARRIERS = ("http", "stick", "tree")
#: Loopback answers at once or not at all.
QUICK = HttpOptions(connect_timeout_s=5, answer_timeout_s=5, progress_timeout_s=5)


class BundlingFolder(FolderTransport):
    """A folder of which a bundle is made after each change."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        super().__init__(folder)
        self._place, self._bundle = folder, bundle

    async def publish(self, path: str, content: bytes) -> None:
        await super().publish(path, content)
        bundle_folder(self._place, self._bundle)

    async def remove(self, path: str) -> None:
        await super().remove(path)
        bundle_folder(self._place, self._bundle)


def bundle_folder(folder: Path, bundle: Path) -> None:
    """Whatever is in the folder, right or wrong."""
    with written_bundle(bundle) as writer:
        for file in sorted((*folder.glob("metadata/*"), *folder.glob("chunk/*"))):
            if not file.name.startswith("."):  # another file on its way
                writer.add(str(file.relative_to(folder)), file.read_bytes())


@asynccontextmanager
async def open_web_carrier(carrier: str, folder: Path) -> AsyncIterator[tuple[Transport, Source]]:
    """A publisher's and a reader's side of it."""
    place = folder / "mirror"
    place.mkdir()
    async with AsyncExitStack() as stack:
        if carrier == "stick":
            stick = folder / "media" / "stick"
            stick.mkdir(parents=True)
            bundling = BundlingFolder(place, stick / "demo.edgehost-bundle")
            yield (
                bundling,
                await stack.enter_async_context(open_stick_transport([folder / "media"], look_s=0.02)),
            )
            return
        publisher = await stack.enter_async_context(open_folder_transport(place, poll_s=0.02))
        if carrier == "tree":
            forge = await stack.enter_async_context(open_forge(place))
            tree = Tree("team", "things", folder="dist", api=forge.server.url)
            yield (
                publisher,
                await stack.enter_async_context(open_tree_transport(tree, QUICK, look_s=0.02, pin_s=0)),
            )
            return
        server = await stack.enter_async_context(open_nginx(place))
        reader = await stack.enter_async_context(open_http_transport(server.url, QUICK, look_s=0.02))
        yield publisher, reader
