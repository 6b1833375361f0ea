"""The boards that came with edgehost, and those of the user's own folder, which win."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from boards.board_file import parse_board, parse_usb
from edgehost.domain.board import OVER_UART, Board, UsbChip, UsbId
from edgehost.domain.errors import InvalidConfigError, NotFoundError
from edgehost.domain.suggestion import did_you_mean

_CHIPS: Final = "usb_chips.toml"
_MOST_BYTES: Final = 64 * 1024  # ours have about 2 KiB
_MOST_FILES: Final = 1000


class FolderCatalog:
    """BoardCatalog over TOML files, read when it is made."""

    def __init__(self, boards: Mapping[str, Board], chips: Mapping[UsbId, UsbChip]) -> None:
        self._boards, self._chips = dict(sorted(boards.items())), dict(chips)

    def all(self) -> Sequence[Board]:
        """Every board, sorted by id."""
        return tuple(self._boards.values())

    def get(self, board_id: str) -> Board:
        """One board."""
        try:
            return self._boards[board_id]
        except KeyError:
            raise NotFoundError(f"There is no board '{board_id}'.", hint=self._nearest(board_id)) from None

    def by_usb(self, usb: UsbId) -> Sequence[Board]:
        """The boards that list this id; for a converter chip, those also that have no USB of their own."""
        chip = self._chips.get(usb)
        is_converter = chip is not None and chip.kind == "converter"
        return tuple(
            board
            for board in self._boards.values()
            if usb in board.usb_ids
            or usb in board.bootloader_ids
            or (is_converter and _is_behind_converter(board))
        )

    def chip(self, usb: UsbId) -> UsbChip | None:
        """What chip it is, when the id names a chip and not a board."""
        return self._chips.get(usb)

    def _nearest(self, board_id: str) -> str:
        said = did_you_mean(board_id, self._boards)
        return said if said.startswith("Did") else "'edgehost boards ls' lists them."


def _is_behind_converter(board: Board) -> bool:
    return not board.usb_ids and not board.emulated and board.flash.protocol in OVER_UART


def load_catalog(folder: Path | None = None) -> FolderCatalog:
    """The boards that came with edgehost, and those in ``folder``, of which each replaces one of the same id.

    Raises:
        NotFoundError: there is no such folder.
        InvalidConfigError: a file in it describes no board.
    """
    boards = dict(_own_boards())
    if folder is not None:
        if not folder.is_dir():
            raise NotFoundError(f"There is no folder {folder} with boards.")
        boards |= _read_folder(folder)
    return FolderCatalog(boards, _own_chips())


@functools.cache
def _own_boards() -> Mapping[str, Board]:
    return _read_folder(resources.files("boards"))


@functools.cache
def _own_chips() -> Mapping[UsbId, UsbChip]:
    document = tomllib.loads((resources.files("boards") / _CHIPS).read_text(encoding="utf-8"))
    chips = (
        UsbChip(parse_usb(usb), facts["name"], facts["kind"]) for usb, facts in document["chips"].items()
    )
    return {chip.usb: chip for chip in chips}


def _read_folder(folder: Traversable) -> dict[str, Board]:
    files = [file for file in folder.iterdir() if file.name.endswith(".toml") and file.name != _CHIPS]
    if len(files) > _MOST_FILES:
        raise InvalidConfigError(f"{folder} has more than {_MOST_FILES} boards.")
    boards = (_read_file(file) for file in files)
    return {board.id: board for board in boards}


def _read_file(file: Traversable) -> Board:
    name = file.name.removesuffix(".toml")
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise InvalidConfigError(f"Board '{name}' cannot be read: {problem.strerror}.") from None
    if len(content) > _MOST_BYTES:
        raise InvalidConfigError(f"Board '{name}': the file has more than {_MOST_BYTES} bytes.")
    try:
        return parse_board(content.decode(), name)
    except UnicodeDecodeError:
        raise InvalidConfigError(f"Board '{name}': the file is no UTF-8.") from None
