"""A flash that has begun is finished: what an earlier run of the host had under way goes on when the host is back."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError, RefusedError
from edgehost.usecases.flash_device import FlashDevice

log = logging.getLogger("edgehost.device")

_BACKOFF: Final = Backoff(2.0, 300.0)


@dataclass(frozen=True, slots=True)
class FinishFlashes:
    """Whatever deployments want meanwhile; ``wake`` is told when a flash is over."""

    flash: FlashDevice
    wake: Callable[[], None]
    backoff: Backoff = _BACKOFF

    def unfinished(self) -> list[str]:
        """The devices whose flash has begun and not ended."""
        known = self.flash.writer.devices.known
        return [name for name in known if self.flash.book.page(name).under_way is not None]

    async def finish(self, device: str) -> None:
        """Until it is done, or given up."""
        attempt = 0
        while self.flash.book.page(device).under_way is not None:
            try:
                await self.flash.finish(device)
            except RefusedError as error:
                log.warning("%s: the flash that had begun: %s", device, error)
            except EdgehostError as error:
                log.warning("%s: the flash that had begun waits: %s", device, error)
                await self._pause(attempt)
            except Exception:  # a fault of ours with one device must not end the host
                log.exception("%s: the flash that had begun broke off.", device)
                await self._pause(attempt)
            attempt += 1
        self.wake()

    async def _pause(self, attempt: int) -> None:
        await asyncio.sleep(self.backoff.delay_s(attempt, random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
