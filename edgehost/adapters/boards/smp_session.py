"""One conversation with an SMP server: smpclient's requests, with our errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from smp.exceptions import SMPException
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import (
    EchoWrite,
    MCUMgrParametersRead,
    OSApplicationInfoRead,
    ResetWrite,
)

from edgehost.adapters.boards.smp_transport import LineSmpTransport
from edgehost.domain.errors import FlashFailedError
from edgehost.ports.device_line import DeviceLine

# It logs each request that nobody answered, in full, as an error; ours say what matters.
logging.getLogger("smpclient").setLevel(logging.CRITICAL)

_ECHO: Final = "edgehost"
_ECHO_S: Final = 1.0
_ECHO_TRIES: Final = 3
_ANSWER_S: Final = 5.0
_CHUNK_S: Final = 2.5
#: A frame may be lost on a busy line; each try goes on where the server is.
_UPLOAD_TRIES: Final = 5
_PROBLEMS: Final = (TimeoutError, SMPException, SMPClientException)


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot of the board holds."""

    number: int
    version: str
    digest: bytes
    active: bool
    confirmed: bool


class SmpSession:
    """``most_bytes`` is that of one message, once ``negotiate`` was called."""

    def __init__(self, line: DeviceLine, most_bytes: int) -> None:
        self._transport = LineSmpTransport(line, most_bytes)
        self._client = SMPClient(self._transport, "")

    @property
    def most_bytes(self) -> int:
        """The longest message."""
        return self._transport.max_unencoded_size

    async def is_alive(self) -> bool:
        """Whether it sends back what it is sent."""
        for _ in range(_ECHO_TRIES):
            try:
                answer = await self._client.request(EchoWrite(d=_ECHO), timeout_s=_ECHO_S)
            except _PROBLEMS:
                continue
            if success(answer):
                return str(answer.r) == _ECHO
        return False

    async def negotiate(self) -> None:
        """Ask for the size of its buffer; without an answer a small one is assumed."""
        answer = await self._ask(MCUMgrParametersRead())
        if answer is not None:
            self._transport.initialize(answer.buf_size)

    async def hardware(self) -> str:
        """Zephyr's name of the board; "" where it is not told."""
        answer = await self._ask(OSApplicationInfoRead(format="i"))
        return "" if answer is None else str(answer.output).strip()

    async def slots(self) -> tuple[Slot, ...]:
        """What the board holds.

        Raises:
            FlashFailedError: no answer.
        """
        for _ in range(_ECHO_TRIES):
            answer = await self._ask(ImageStatesRead())
            if answer is not None:
                return tuple(
                    Slot(
                        each.slot,
                        each.version,
                        bytes(each.hash or b""),
                        bool(each.active),
                        bool(each.confirmed),
                    )
                    for each in answer.images
                )
        raise FlashFailedError("The SMP server does not tell what is in its slots.")

    async def upload(self, data: bytes, erase_timeout_s: float) -> AsyncIterator[int]:
        """The offsets that the server has reached; the first is where it goes on.

        Raises:
            FlashFailedError: it refuses, or has stopped answering.
        """
        reached, problem = 0, ""
        for _ in range(_UPLOAD_TRIES):
            try:
                async for offset in self._client.upload(
                    data, first_timeout_s=erase_timeout_s, subsequent_timeout_s=_CHUNK_S
                ):
                    if offset >= reached:  # a try begins with what is there already
                        reached = offset
                        yield offset
            except _PROBLEMS as failure:
                problem = _said(failure)
            else:
                return
        raise FlashFailedError(f"The upload stopped at byte {reached}: {problem}.")

    async def try_image(self, digest: bytes) -> bool:
        """Start it for one time; False: this bootloader decides by itself, mostly by the version."""
        return await self._ask(ImageStatesWrite(hash=digest, confirm=False)) is not None

    async def confirm(self, digest: bytes) -> None:
        """Keep it; a server that knows no trial has nothing to keep."""
        await self._ask(ImageStatesWrite(hash=digest, confirm=True))

    async def reset(self) -> None:
        """Restart; some servers are gone before they have answered."""
        await self._ask(ResetWrite())

    async def _ask(self, request: Any) -> Any | None:  # noqa: ANN401 - smpclient pairs each request with its answer
        """None: an error, or no answer."""
        try:
            answer: Any = await self._client.request(request, timeout_s=_ANSWER_S)
        except _PROBLEMS:
            return None
        is_good: bool = success(answer)
        return answer if is_good else None


def _said(failure: Exception) -> str:
    """Short: the client quotes whole requests."""
    return "no answer in time" if isinstance(failure, TimeoutError) else str(failure)[:200]
