"""A start on a data folder that cannot be written: what it is called, and how the host looks whether that is over."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.adapters.services.disk_gauge import disk_room
from edgehost.adapters.storage.withheld_disk import WithheldDisk, refusal_to_write
from edgehost.domain.disk_room import READ_ONLY_HINT
from edgehost.domain.errors import UnavailableError

log = logging.getLogger("edgehost.life")

#: An operator who has mended the card waits at most so long; it costs a few system calls.
LOOK_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why nothing is kept, as an errno for programs and a sentence for people."""

    code: int
    why: str
    hint: str

    def disk(self) -> WithheldDisk:
        """For the stores of this run."""
        return WithheldDisk(self.code)


def withheld_at(data: Path) -> Withheld | None:
    """Why this data folder cannot be written now; None when it can. Blocking, and writes nothing.

    Raises:
        OSError: it is out of reach, so that nobody knows.
    """
    found = refusal_to_write(data)
    if found is None:
        found = (errno.EROFS, data) if _is_given_up(data) else None
    if found is None:
        return None
    code, path = found
    if code == errno.EROFS:
        return Withheld(
            code,
            f"host.data is {data}, on a disk that is read-only: nothing is kept.",
            f"{READ_ONLY_HINT} The host notices by itself.",
        )
    return Withheld(
        code,
        f"host.data is {data}, and this user may not write {path}: nothing is kept.",
        f"Give it to the host's user ('chown -R USER {data}'). The host notices by itself.",
    )


async def leave_when_writable(
    withheld: Callable[[], Withheld | None], leave: Callable[[], Awaitable[None]], *, look_s: float = LOOK_S
) -> None:
    """Look now and then, until the data folder can be written; then leave.

    A card that fails comes and goes: while it is out of reach the host stays as it is.
    """
    while True:
        try:
            if await asyncio.to_thread(withheld) is None:
                log.warning(
                    "The data folder can be written again: the host starts anew, and keeps what it is given."
                )
                await leave()
                return
        except (OSError, UnavailableError) as problem:
            log.info("The data folder is not back yet: %s", problem)
        await asyncio.sleep(look_s)


def _is_given_up(data: Path) -> bool:
    """Whether the kernel has given up a disk that is still mounted for writing."""
    try:
        return disk_room(data).read_only
    except OSError:  # a folder that is to be made
        return False
