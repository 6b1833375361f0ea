"""Chunks of releases that have not arrived whole yet; a cut costs only the chunk that was on its way."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

from edgehost.domain.signed_content import SignedContent
from remotes.durable_file import read_bounded, replace, storage_errors
from remotes.transport import CHUNK_BYTES


class PartialShelf:
    """One folder for each release, named by digest. Blocking; what it returns has the digest asked for."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def open(self, offer: SignedContent) -> tuple[str, ...]:
        """Make room for the release and name the chunks that are here already."""
        self._make_room(offer)
        place = self._folder / offer.digest
        with storage_errors():
            place.mkdir(parents=True, exist_ok=True)
        return tuple(chunk for chunk in dict.fromkeys(offer.chunks) if self._get(offer, chunk) is not None)

    def put(self, offer: SignedContent, chunk: str, content: bytes) -> None:
        """Keep a chunk whose digest was checked.

        Raises:
            StorageFullError: it is not kept; the others are.
        """
        # Not synced: a chunk that a power cut tears has another digest when it is read again.
        replace(self._folder / offer.digest / chunk, content, sync=False)

    def joined(self, offer: SignedContent) -> bytes:
        """The chunks in order; shorter than the release when one of them is not here."""
        return b"".join(self._get(offer, chunk) or b"" for chunk in offer.chunks)

    def close(self, offer: SignedContent) -> None:
        """Forget the release's chunks."""
        shutil.rmtree(self._folder / offer.digest, ignore_errors=True)

    def _get(self, offer: SignedContent, chunk: str) -> bytes | None:
        """A chunk; None when it is not here or is damaged, in which case it is dropped."""
        path = self._folder / offer.digest / chunk
        content = read_bounded(path, CHUNK_BYTES)
        if content is not None and hashlib.sha256(content).hexdigest() == chunk:
            return content
        with suppress(OSError):
            path.unlink()
        return None

    def _make_room(self, offer: SignedContent) -> None:
        """Drop other releases' chunks, longest untouched first, until this one fits."""
        others = sorted(
            (place for place in self._folder.glob("*") if place.name != offer.digest),
            key=lambda place: place.stat().st_mtime_ns,
        )
        sizes = {place: sum(file.stat().st_size for file in place.glob("*")) for place in others}
        for place in others:
            if sum(sizes.values()) + offer.size_bytes <= self._most_bytes:
                break
            del sizes[place]
            shutil.rmtree(place, ignore_errors=True)
