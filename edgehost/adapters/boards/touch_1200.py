"""The 1200-baud touch: firmware with USB serial restarts into the bootloader when its line is opened and closed so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from edgehost.domain.board import Board
from edgehost.domain.errors import LineLostError, NotFoundError
from edgehost.ports.device_line import DeviceLines, FoundLine, LineSettings

_BAUD: Final = 1200
_LOOK_S: Final = 0.25
_LOOKS: Final = 40  # ten seconds: USB is taken down and comes up again, and permissions are set after that
_GONE_LOOKS: Final = 8  # a board whose line neither goes nor moves within two seconds took no notice


async def touch_1200(
    lines: DeviceLines, path: str, board: Board, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> str:
    """Restart the board into its bootloader; returns the line that this is on now.

    A line that is the bootloader's already, or no USB device of this machine, is left alone.

    Raises:
        LineBusyError, LineDeniedError, NotFoundError: the line could not be touched.
    """
    before = await lines.found()
    mine = next((line for line in before if line.path == path), None)
    if mine is None or not mine.usb or _is_bootloader(mine, board):
        return path
    with suppress(LineLostError):  # the device may go while its line is being closed
        async with lines.open(path, LineSettings(baud=_BAUD)) as line:
            await line.set_signals(dtr=False)
    return await _appeared(lines, mine, board, before, pause)


def _is_bootloader(line: FoundLine, board: Board) -> bool:
    return line.usb in {str(usb) for usb in board.bootloader_ids}


async def _appeared(
    lines: DeviceLines,
    old: FoundLine,
    board: Board,
    before: Sequence[FoundLine],
    pause: Callable[[float], Awaitable[object]],
) -> str:
    known = {line.path for line in before if line.path != old.path}
    has_gone = False
    for look in range(_LOOKS):
        await pause(_LOOK_S)
        now = await lines.found()
        fresh = [line for line in now if _is_bootloader(line, board) and line.path not in known]
        same_socket = [line for line in fresh if line.location and line.location == old.location]
        if candidates := same_socket or fresh:
            return candidates[0].path
        there = any(line.path == old.path for line in now)
        has_gone = has_gone or not there
        if there and (has_gone or look >= _GONE_LOOKS):
            return old.path  # back under its old name, or it never went: the bootloader says which
    raise NotFoundError(
        f"After the touch at 1200 baud no bootloader of '{board.id}' appeared.", hint=board.recovery
    )
