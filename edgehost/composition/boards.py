"""Boards: the catalogue, the lines and the programmers, made when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from boards.catalog import FolderCatalog, load_catalog
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.ports.device_line import DeviceLines
from edgehost.ports.line_users import LineUsers
from edgehost.ports.programmer import Programmer
from edgehost.usecases.flash_board import FlashBoard


def make_catalog(folder: Path | None) -> FolderCatalog:
    """The boards that came with edgehost and those in the folder."""
    return load_catalog(folder)


def make_lines() -> DeviceLines:
    """The serial lines of this machine."""
    return SerialLines()


def make_flash_board(lines: DeviceLines, users: LineUsers | None = None) -> FlashBoard:
    """What writes firmware; ``users`` are held off meanwhile."""
    return FlashBoard(programmers(lines), users)


def programmers(lines: DeviceLines) -> Mapping[str, Callable[[], Programmer]]:
    """By protocol, or protocol/tool; each is imported when it is made."""
    return {**_on_lines(lines), **_elsewhere(lines)}


def _on_lines(lines: DeviceLines) -> dict[str, Callable[[], Programmer]]:
    def esp() -> Programmer:
        from edgehost.adapters.boards.esp_programmer import EspProgrammer  # noqa: PLC0415

        return EspProgrammer(lines)

    def esptool() -> Programmer:
        from edgehost.adapters.boards.esptool_programmer import EsptoolProgrammer  # noqa: PLC0415

        return EsptoolProgrammer(lines)

    def stk500v1() -> Programmer:
        from edgehost.adapters.boards.stk500v1 import Stk500v1Programmer  # noqa: PLC0415

        return Stk500v1Programmer(lines)

    def stk500v2() -> Programmer:
        from edgehost.adapters.boards.stk500v2 import Stk500v2Programmer  # noqa: PLC0415

        return Stk500v2Programmer(lines)

    def avr109() -> Programmer:
        from edgehost.adapters.boards.avr109 import Avr109Programmer  # noqa: PLC0415

        return Avr109Programmer(lines)

    def an3155() -> Programmer:
        from edgehost.adapters.boards.an3155_programmer import An3155Programmer  # noqa: PLC0415

        return An3155Programmer(lines)

    def smp() -> Programmer:
        from edgehost.adapters.boards.smp_programmer import SmpProgrammer  # noqa: PLC0415

        return SmpProgrammer(lines)

    return {
        "esp": esp,
        "esp/esptool": esptool,
        "stk500v1": stk500v1,
        "stk500v2": stk500v2,
        "avr109": avr109,
        "an3155": an3155,
        "smp": smp,
    }


def _elsewhere(lines: DeviceLines) -> dict[str, Callable[[], Programmer]]:
    def uf2() -> Programmer:
        from edgehost.adapters.boards.uf2_programmer import Uf2Programmer  # noqa: PLC0415

        return Uf2Programmer(lines)

    def volume() -> Programmer:
        from edgehost.adapters.boards.volume_programmer import VolumeProgrammer  # noqa: PLC0415

        return VolumeProgrammer()

    def dfu() -> Programmer:
        from edgehost.adapters.boards.dfu_programmer import DfuProgrammer  # noqa: PLC0415

        return DfuProgrammer()

    def swd() -> Programmer:
        from edgehost.adapters.boards.swd_programmer import SwdProgrammer  # noqa: PLC0415

        return SwdProgrammer()

    def pyocd() -> Programmer:
        from edgehost.adapters.boards.pyocd_programmer import PyocdProgrammer  # noqa: PLC0415

        return PyocdProgrammer()

    return {"uf2": uf2, "volume": volume, "dfu": dfu, "swd": swd, "swd/pyocd": pyocd}
