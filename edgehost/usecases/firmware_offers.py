"""The firmware images that could be brought to devices: on offer at the remotes, or brought here before."""

from __future__ import annotations

from dataclasses import dataclass

import semver

from edgehost.domain.device_firmware import FirmwarePage, KnownImage
from edgehost.domain.signed_document import SignedDocument
from edgehost.usecases.firmware_book import FirmwareBook
from edgehost.usecases.flash_site import SignedImages, known_image


@dataclass(frozen=True, slots=True)
class FirmwareOffers:
    """What the remotes' last checks found, and what the book has."""

    images: SignedImages
    book: FirmwareBook

    def knows(self, name: str) -> bool:
        """Whether firmware of this name is on offer, or was brought to a device here."""
        return any(each.name == name for each in self._documents()) or self.book.knows(name)

    def image(self, digest: str) -> KnownImage | None:
        """The image with this digest."""
        document = next((each for each in self._documents() if each.digest == digest), None)
        return self.book.image(digest) if document is None else known_image(document)

    def of(self, name: str, page: FirmwarePage, board: str) -> list[KnownImage]:
        """Images of a name for a board, best first, with those on the shelf for the device; no board: for any."""
        found = {image.digest: image for image in page.images if image.name == name}
        for document in self._documents():
            if document.name != name:
                continue
            if not board or board in document.about.get("board", "").split():
                found[document.digest] = known_image(document)
        return sorted(found.values(), key=_rank, reverse=True)

    def _documents(self) -> list[SignedDocument]:
        return [document for _, document in self.images.offered()]


def _rank(image: KnownImage) -> tuple[semver.Version, int]:
    return semver.Version.parse(image.version), image.sequence
