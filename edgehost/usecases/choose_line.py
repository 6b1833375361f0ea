"""Which line leads to a board: only what leaves no doubt is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgehost.domain.board import Board, UsbId
from edgehost.domain.errors import NoLineError
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.ports.device_line import FoundLine

_BY_SERIAL = "id:"
#: Reached over USB by a tool that finds the device itself, or as a drive; a line is only a wish there.
_NO_LINE = ("dfu", "swd", "volume")
#: A drive too, but the firmware that runs now may have a line on which it is told to show it.
_DRIVE = "uf2"


@dataclass(frozen=True, slots=True)
class Guess:
    """What may be at the end of a line, and why that is thought."""

    line: FoundLine
    boards: tuple[Board, ...]
    why: str

    def document(self) -> dict[str, object]:
        """As JSON shows it."""
        return {
            "line": self.line.path,
            "description": self.line.description,
            "usb": self.line.usb,
            "serial_number": self.line.serial_number,
            "location": self.line.location,
            "boards": [board.id for board in self.boards],
            "why": self.why,
        }


def choose_line(board: Board, found: Sequence[FoundLine], catalog: BoardCatalog, wanted: str = "") -> str:
    """The line to flash over; ``wanted`` is empty, a path or URL, or ``id:SERIAL`` of a USB device.

    Raises:
        NoLineError: none matches, or several do; the hint lists what is there.
    """
    if wanted.startswith(_BY_SERIAL) and board.flash.protocol not in _NO_LINE:
        return _by_serial(wanted.removeprefix(_BY_SERIAL), found)
    if wanted or board.flash.protocol in _NO_LINE:
        return wanted
    fitting = [line for line in found if _may_be(board, line, catalog)]
    if len(fitting) == 1:
        return fitting[0].path
    if not fitting and board.flash.protocol == _DRIVE:
        return ""
    if fitting:
        raise NoLineError(
            f"{len(fitting)} lines may lead to '{board.id}': {_listed(fitting)}.",
            hint=f"Say which: --line {_selector(fitting[0])} or --line {_selector(fitting[1])}.",
        )
    if board.emulated:
        raise NoLineError(
            f"'{board.id}' is an emulator's board.", hint="Say where it is: --line PATH or URL."
        )
    seen = f" Lines that are there: {_listed(found)}." if found else " No serial line is there at all."
    raise NoLineError(
        f"No line is known to lead to '{board.id}'.{seen}",
        hint="Is it plugged in, with a cable that carries data? Else say which line: --line PATH.",
    )


def guess(line: FoundLine, catalog: BoardCatalog) -> Guess:
    """The boards that may be at the end of the line."""
    usb = usb_of(line)
    if usb is None:
        return Guess(line, (), "no USB device: a serial port of this machine")
    boards, chip = tuple(catalog.by_usb(usb)), catalog.chip(usb)
    if chip is not None and chip.kind == "converter":
        return Guess(line, boards, f"{chip.name}, a USB-serial chip on many boards: it does not say which")
    if chip is not None:
        return Guess(line, boards, f"{chip.name}, the same on every board that has it")
    if not boards:
        return Guess(line, (), "no board that is known here has this USB id")
    if any(usb in board.bootloader_ids for board in boards):
        return Guess(line, boards, "the USB id of its bootloader, which is running now")
    return Guess(line, boards, "its USB id")


def usb_of(line: FoundLine) -> UsbId | None:
    """The line's USB id; None when it has none."""
    vendor, _, product = line.usb.partition(":")
    return UsbId(int(vendor, 16), int(product, 16)) if product else None


def _may_be(board: Board, line: FoundLine, catalog: BoardCatalog) -> bool:
    usb = usb_of(line)
    return usb is not None and any(each.id == board.id for each in catalog.by_usb(usb))


def _by_serial(serial_number: str, found: Sequence[FoundLine]) -> str:
    fitting = [line for line in found if line.serial_number and line.serial_number == serial_number]
    if len(fitting) == 1:
        return fitting[0].path
    known = ", ".join(f"id:{line.serial_number} ({line.path})" for line in found if line.serial_number)
    if fitting:
        raise NoLineError(
            f"{len(fitting)} lines have the serial number {serial_number}: {_listed(fitting)}.",
            hint="Say which: --line PATH.",
        )
    raise NoLineError(
        f"No line has the serial number {serial_number}.",
        hint=f"There are {known}." if known else "No line that is there has one.",
    )


def _selector(line: FoundLine) -> str:
    """What names it for good, where its device has a number of its own."""
    return f"{_BY_SERIAL}{line.serial_number}" if line.serial_number else line.path


def _listed(lines: Sequence[FoundLine]) -> str:
    return ", ".join(f"{line.path} ({line.usb})" if line.usb else line.path for line in lines)
