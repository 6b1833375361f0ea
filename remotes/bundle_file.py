"""A repository in one file: an uncompressed tar whose members are the repository's own files and nothing else.

Tar, so that a person on a site without network can look into it with what every system has; uncompressed, so that
it is read in place and there is nothing to burst. It is never unpacked: a member is found by its name in an index
of at most ``MOST_FILES``, and its bytes are read under the reader's bound. Only the plain ustar header is taken
(POSIX.1-1988, 512 bytes, checksummed): no links, folders, long names or sparse files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from edgehost.domain.errors import RefusedError, RemoteUnreachableError, TooLargeError
from remotes.durable_file import fresh_file, open_plain_file
from remotes.transport import METADATA_MOST_BYTES, require_path

SUFFIX: Final = ".edgehost-bundle"
#: 600 MiB of chunks; the index of so many takes 5 MB.
MOST_FILES: Final = 20_000
_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_REGULAR: Final = b"0"
_MAGIC: Final = b"ustar\x0000"
_CHECKSUM: Final = slice(148, 156)

#: Device, inode, size and time of change: another one is another file, or the same one written to.
Mark = tuple[int, int, int, int]


class MalformedBundleError(RefusedError):
    """The file is no bundle."""

    code = "malformed-bundle"


class CutBundleError(MalformedBundleError):
    """It ends too early: it is still being copied, or the copying was broken off."""

    code = "cut-bundle"


class BundleWriter:
    """Adds members to a file; ``finish`` makes it a bundle."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.files = 0
        self.bytes_written = 0

    def add(self, path: str, content: bytes) -> None:
        """One file of the repository.

        Raises:
            TooLargeError: there are too many, or its name is too long.
        """
        name = require_path(path).encode()
        if self.files >= MOST_FILES or len(name) > 100:  # noqa: PLR2004 - the field for the name
            raise TooLargeError(f"A bundle has no room for {path}.", hint="Name fewer components.")
        self.files += 1
        self._write(_header(name, len(content)) + content + bytes(-len(content) % _BLOCK))

    def finish(self) -> None:
        """The mark of the end, without which a reader takes it for cut."""
        self._write(_END)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.bytes_written += len(content)


@contextmanager
def written_bundle(path: Path) -> Iterator[BundleWriter]:
    """A new bundle at ``path``: what was there before stays until the new one is on the medium, whole.

    Raises:
        StorageFullError: the medium is full.
    """
    with fresh_file(path) as file:
        writer = BundleWriter(file)
        yield writer
        writer.finish()


@dataclass(frozen=True, slots=True)
class BundleFile:
    """The index of one bundle. Blocking. The file is open only while it is read, so that its stick can be pulled."""

    path: Path
    mark: Mark
    members: Mapping[str, tuple[int, int]]  # path in the repository -> offset and size

    def read(self, path: str, most_bytes: int) -> bytes | None:
        """A member's bytes, unchecked; None when there is none of this name.

        Raises:
            TooLargeError: it has more.
            RemoteUnreachableError: the file is gone, or has become another one.
        """
        place = self.members.get(require_path(path))
        if place is None:
            return None
        offset, size = place
        if size > most_bytes:
            raise TooLargeError(f"{path} in {self.path} has more than {most_bytes} bytes.")
        try:
            with _opened(self.path) as descriptor:
                content = _exactly(descriptor, offset, size) if _mark(descriptor) == self.mark else None
        except OSError as error:
            raise _gone(self.path, error) from None
        if content is None:
            raise RemoteUnreachableError(
                f"{self.path} was changed while it was read.", hint="It is read anew."
            )
        return content


def read_bundle(path: Path) -> BundleFile:
    """The index of a bundle; nothing of its content is believed.

    Raises:
        CutBundleError, MalformedBundleError: it is none.
        RemoteUnreachableError: it cannot be read.
    """
    try:
        with _opened(path) as descriptor:
            return BundleFile(path, _mark(descriptor), dict(_members(path, descriptor)))
    except OSError as error:
        raise _gone(path, error) from None


def mark_of(path: Path) -> Mark | None:
    """The mark of a file; None for none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _members(path: Path, descriptor: int) -> Iterator[tuple[str, tuple[int, int]]]:
    seen: set[str] = set()
    offset = 0
    while (block := _exactly(descriptor, offset, _BLOCK)) != _END[:_BLOCK]:
        if block is None:
            raise CutBundleError(
                f"{path} has no end.", hint="Copy it again, and unmount the stick before it is pulled."
            )
        try:
            name, size = _parsed(block)
        except ValueError as error:
            raise MalformedBundleError(
                f"{path} is no bundle: {error} (at byte {offset}).",
                hint="Make one with 'edgehost bundle create'.",
            ) from None
        if name in seen:
            raise MalformedBundleError(f"{path} is no bundle: it has {name} twice.")
        seen.add(name)
        if len(seen) > MOST_FILES:
            raise MalformedBundleError(f"{path} has more than {MOST_FILES} files.")
        yield name, (offset + _BLOCK, size)
        offset += _BLOCK + size + -size % _BLOCK


def _header(name: bytes, size: int) -> bytes:
    fields = (
        name.ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % size, b"00000000000\0",
        b" " * 8, _REGULAR, bytes(100), _MAGIC, bytes(32), bytes(32), b"0000000\0", b"0000000\0", bytes(167),
    )  # fmt: skip
    header = bytearray(b"".join(fields))
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def _parsed(block: bytes) -> tuple[str, int]:
    """Name and size of a member.

    Raises:
        ValueError: it is none that we would have written; the message says why.
    """
    if block[257:265] != _MAGIC:
        raise ValueError("there is no ustar header")
    blanked = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    if _octal(block[_CHECKSUM]) != sum(blanked):
        raise ValueError("a header is damaged")
    name = require_path(block[:100].rstrip(b"\0").decode("ascii", "replace"))
    if block[156:157] != _REGULAR or any(block[345:500]):
        raise ValueError(f"{name} is no plain file")
    size = _octal(block[124:136])
    if size > METADATA_MOST_BYTES:
        raise ValueError(f"{name} has {size} bytes")
    return name, size


def _octal(field: bytes) -> int:
    digits = field.rstrip(b" \0")
    if not digits or not set(digits) <= set(b"01234567"):
        raise ValueError("a number is none")
    return int(digits, 8)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = open_plain_file(path)
    try:
        yield descriptor
    finally:
        with suppress(OSError):  # the medium may be gone
            os.close(descriptor)


def _mark(descriptor: int) -> Mark:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _exactly(descriptor: int, offset: int, size: int) -> bytes | None:
    """So many bytes, or None when the file ends before."""
    content = b""
    while len(content) < size:
        part = os.pread(descriptor, size - len(content), offset + len(content))
        if not part:
            return None
        content += part
    return content


def _gone(path: Path, error: OSError) -> RemoteUnreachableError:
    return RemoteUnreachableError(
        f"{path}: {error.strerror or error}.", hint="Is the stick still plugged in?"
    )
