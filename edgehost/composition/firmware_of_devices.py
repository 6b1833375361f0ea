"""The firmware images of bridged devices: brought by deployments, remembered, and finished after a loss of power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgehost.adapters.boards.image_files import parse_image
from edgehost.adapters.storage.deployment_files import DeploymentFiles
from edgehost.composition.boards import make_flash_board
from edgehost.composition.rooms import Rooms
from edgehost.config_devices import DeviceSettings
from edgehost.domain.board import Board
from edgehost.domain.errors import NotFoundError
from edgehost.domain.flashing import FirmwareImage
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.ports.device_line import DeviceLines
from edgehost.ports.remote import Remote
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.deploy_images import ImageHands
from edgehost.usecases.finish_flashes import FinishFlashes
from edgehost.usecases.firmware_book import FirmwareBook
from edgehost.usecases.firmware_offers import FirmwareOffers
from edgehost.usecases.flash_board import FlashBoard
from edgehost.usecases.flash_device import FlashDevice
from edgehost.usecases.flash_site import FlashSite, SignedImages, flash_line
from edgehost.usecases.write_to_device import WriteToDevice
from remotes.owned_tasks import Spawn


@dataclass(frozen=True, slots=True)
class DeviceFirmware:
    """What the rooms of devices, boards and deployments need of it."""

    flash: FlashDevice
    hands: ImageHands
    flasher: FlashBoard


@dataclass(frozen=True, slots=True)
class Sites:
    """Meets FlashSites, from the configuration and from what devices say, or said, of themselves."""

    settings: Mapping[str, DeviceSettings]
    devices: Devices
    board_of: Callable[[str], Board | None]
    book: FirmwareBook

    def __call__(self, device: str) -> FlashSite:
        """The site of a device."""
        state, settings = self.devices.get(device).state, self.settings[device]
        said = "" if state.identity is None else state.identity.board
        page = self.book.page(device)
        by_hand = "" if page.by_hand is None else page.by_hand.board
        name = settings.board or said or page.board or by_hand
        board = self.board_of(name) if name else None
        if board is None:
            what = f"No board '{name}' is known here." if name else f"What board '{device}' is, is not known."
            raise NotFoundError(what, hint=f"Set devices.{device}.board; 'edgehost boards ls' lists them.")
        line = flash_line(board, settings.line, settings.flash_line)
        return FlashSite(board, line, settings.back_within_s)


async def open_firmware(
    rooms: Rooms,
    devices: Devices,
    remotes: Callable[[], Sequence[Remote]],
    *,
    lines: DeviceLines,
    catalog: Callable[[], BoardCatalog],
    board_of: Callable[[str], Board | None],
) -> DeviceFirmware:
    """What an earlier run of the host brought to the devices; the shelf keeps those images."""

    def parse(name: str, content: bytes, board: Board, version: str) -> FirmwareImage:
        return parse_image(name, content, board, version=version)

    book = FirmwareBook(DeploymentFiles(rooms.config.host.data / "device-firmware"))
    await book.load()
    beside = rooms.ledger.beside
    rooms.ledger.beside = lambda: {*beside(), *book.shelved()}
    flasher = make_flash_board(lines, devices)
    images = SignedImages(remotes, rooms.shelf, parse, lines, catalog, flasher)
    sites = Sites(rooms.config.devices, devices, board_of, book)
    flash = FlashDevice(book, WriteToDevice(devices, images, sites, rooms.bus, rooms.clock))
    return DeviceFirmware(flash, ImageHands(flash, FirmwareOffers(images, book)), flasher)


def finish_flashes(firmware: DeviceFirmware, spawn: Spawn) -> None:
    """Go on with what an earlier run had begun."""
    flashes = FinishFlashes(firmware.flash, lambda: firmware.hands.wake())  # noqa: PLW0108 - set when deployments are
    for device in flashes.unfinished():
        spawn(flashes.finish(device), f"edgehost.flash.{device}")
