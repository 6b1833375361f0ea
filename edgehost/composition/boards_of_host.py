"""The boards on a host's lines: nothing of it is imported or read before somebody asks."""

from __future__ import annotations

from collections.abc import Sequence

from edgehost.composition.devices_of_host import DeviceRooms
from edgehost.composition.rooms import Rooms
from edgehost.ports.board_control import BoardControl
from edgehost.ports.remote import Remote
from edgehost.usecases.control_host import ControlHost
from remotes.owned_tasks import Spawn


def tie_boards(
    control: ControlHost,
    rooms: Rooms,
    remotes: Sequence[Remote],
    spawn: Spawn,
    opened: DeviceRooms,
) -> None:
    """Let the operator reach the boards; the bridges of devices let go of a line while it is flashed."""

    def make() -> BoardControl:
        return _board_control(rooms, remotes, spawn, opened)

    control.make_boards = make


def _board_control(
    rooms: Rooms, remotes: Sequence[Remote], spawn: Spawn, opened: DeviceRooms
) -> BoardControl:
    from boards.board_file import board_document  # noqa: PLC0415 - see above
    from edgehost.adapters.boards.image_files import parse_image  # noqa: PLC0415
    from edgehost.composition.boards import make_catalog, make_flash_board, make_lines  # noqa: PLC0415
    from edgehost.domain.board import Board  # noqa: PLC0415
    from edgehost.domain.flashing import FirmwareImage  # noqa: PLC0415
    from edgehost.usecases.flash_firmware import FlashFirmware  # noqa: PLC0415

    def parse(name: str, content: bytes, board: Board, version: str) -> FirmwareImage:
        return parse_image(name, content, board, version=version)

    lines, firmware = make_lines(), opened.firmware
    return FlashFirmware(
        catalog=make_catalog(rooms.config.boards.folder),
        device_lines=lines,
        # one for all, so that nobody flashes a line that another flashes
        flasher=make_flash_board(lines, opened.devices) if firmware is None else firmware.flasher,
        remotes=remotes,
        parse=parse,
        show_board=board_document,
        bus=rooms.bus,
        clock=rooms.clock,
        spawn=spawn,
        by_hand=None if firmware is None else firmware.flash.by_hand,
    )
