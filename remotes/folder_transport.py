"""A repository in a folder: a disk, a USB stick, a mounted share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError
from remotes.change_signals import ChangeSignals
from remotes.durable_file import open_plain_file, write_durably
from remotes.owned_tasks import owned_tasks
from remotes.transport import TIMESTAMP, require_path

#: Time of change, inode and size.
Mark = tuple[int, int, int]


class FolderTransport:
    """Files under ``folder`` with the names that a repository gives them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signals = ChangeSignals()
        self._link_signals = ChangeSignals()  # never fires: whether a folder is there shows when it is read

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def connected(self) -> bool:
        """See Transport."""
        return True

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Transport."""
        return await asyncio.to_thread(self._read, require_path(path), most_bytes)

    async def publish(self, path: str, content: bytes) -> None:
        """See Transport."""
        await asyncio.to_thread(self._write, require_path(path), content)

    async def remove(self, path: str) -> None:
        """See Transport."""
        await asyncio.to_thread(self._unlink, require_path(path))

    def changes(self) -> AsyncIterator[None]:
        """See Transport."""
        return self._signals.listen()

    def link_changes(self) -> AsyncIterator[None]:
        """See Transport."""
        return self._link_signals.listen()

    async def watch(self, seen: Mark | None, pause: Callable[[], Awaitable[None]]) -> None:
        """Look at the timestamp after every pause; a stick that is pulled out and put back counts as well."""
        while True:
            await pause()
            mark = await asyncio.to_thread(self.mark)
            if mark not in (seen, None):
                seen = mark
                self._signals.fire()

    def mark(self) -> Mark | None:
        """What tells one timestamp file from another; None for none."""
        try:
            status = (self._folder / TIMESTAMP).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def close(self) -> None:
        """End the listeners."""
        self._signals.close()
        self._link_signals.close()

    def _read(self, path: str, most_bytes: int) -> bytes | None:
        try:
            descriptor = open_plain_file(self._folder / path)
        except FileNotFoundError:
            self._require_folder()
            return None
        except OSError as error:
            raise self._unreachable(error) from error
        with os.fdopen(descriptor, "rb") as file:
            try:
                content = file.read(most_bytes + 1)
            except OSError as error:
                raise self._unreachable(error) from error
        if len(content) > most_bytes:
            raise TooLargeError(f"{self._folder / path} has more than {most_bytes} bytes.")
        return content

    def _write(self, path: str, content: bytes) -> None:
        target = self._folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_durably(target, content)
        except OSError as error:
            raise self._unreachable(error) from error

    def _unlink(self, path: str) -> None:
        try:
            (self._folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise self._unreachable(error) from error

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise RemoteUnreachableError(
                f"There is no folder {self._folder}.", hint="Is the medium plugged in and mounted?"
            )

    def _unreachable(self, error: OSError) -> RemoteUnreachableError:
        return RemoteUnreachableError(
            f"{error.filename or self._folder}: {error.strerror}.",
            hint="Check the medium and its permissions.",
        )


@asynccontextmanager
async def open_folder_transport(
    folder: Path, *, poll_s: float = 1.0, pause: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[FolderTransport]:
    """The folder as a transport, watched every ``poll_s`` seconds, or after each ``pause`` when one is given."""
    transport = FolderTransport(folder)

    async def sleep() -> None:
        await asyncio.sleep(poll_s)

    async with owned_tasks() as spawn:
        # Before anybody looks, so that no change falls between their first look and the watcher's.
        seen = await asyncio.to_thread(transport.mark)
        spawn(transport.watch(seen, pause or sleep), "edgehost.remote.folder")
        try:
            yield transport
        finally:
            transport.close()
