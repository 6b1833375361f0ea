"""What is on the devices of this host, and the flashes that have begun: durable before it holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from edgehost.domain.device_firmware import FirmwarePage, KnownImage
from edgehost.ports.deployment_store import DeploymentStore

log = logging.getLogger("edgehost.device")

_FORMAT: Final = 1


class FirmwareBook:
    """One page for each device."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store
        self._pages: dict[str, FirmwarePage] = {}

    async def load(self) -> None:
        """Read what was kept; what this version does not understand is left out."""
        for device, document in (await self._store.load()).items():
            try:
                page = FirmwarePage.from_document(document["page"]) if document["format"] == _FORMAT else None
            except (KeyError, TypeError, ValueError, AttributeError):
                page = None
            if page is None:
                log.warning("What is kept of the firmware of '%s' cannot be read.", device)
            else:
                self._pages[device] = page

    def page(self, device: str) -> FirmwarePage:
        """What is known of a device; an empty page when nothing is."""
        return self._pages.get(device, FirmwarePage())

    def pages(self) -> Mapping[str, FirmwarePage]:
        """Every device."""
        return dict(self._pages)

    async def keep(self, device: str, page: FirmwarePage) -> None:
        """Keep it durably.

        Raises:
            StorageFullError: the old page still holds.
        """
        if page == self._pages.get(device):
            return
        await self._store.keep(device, {"format": _FORMAT, "page": page.as_document()})
        self._pages[device] = page

    def shelved(self) -> set[str]:
        """The digests of images that the shelf must keep."""
        return {image.digest for page in self._pages.values() for image in page.images}

    def image(self, digest: str) -> KnownImage | None:
        """The image with this digest, if one of the pages has it."""
        return next((each for each in self._images() if each.digest == digest), None)

    def knows(self, name: str) -> bool:
        """Whether an image of this name is in the book."""
        return any(each.name == name for each in self._images())

    def _images(self) -> list[KnownImage]:
        return [image for page in self._pages.values() for image in page.images]
