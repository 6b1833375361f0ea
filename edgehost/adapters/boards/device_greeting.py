"""The beginning of a link: who is there, at which rate the line goes on, and how often the device tells."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from edgehost.adapters.boards import device_resources as resources
from edgehost.adapters.boards.device_view import DeviceView
from edgehost.adapters.boards.line_conversation import Conversation
from edgehost.domain.device import DeviceIdentity, read_identity
from edgehost.domain.errors import ChipMismatchError, UnavailableError
from edgehost.ports.clock import Clock
from edgehost.ports.device_line import DeviceLine
from firmware_bridge.coap_exchange import CBOR, Asked
from firmware_bridge.coap_message import Method

log = logging.getLogger("edgehost.device")

#: A device that hears nothing at a new rate is back at the old one after three seconds.
_PROOF_S: Final = 2.0
#: What a device that was reset goes back to (device/PROTOCOL.md, /twin).
_STANDARD_INTERVAL_MS: Final = 1000


async def greet(
    talk: Conversation, line: DeviceLine, view: DeviceView, clock: Clock, *, path: str, board: str
) -> None:
    """Ask who is there; at the agreed rate too, where a device may be that was not reset.

    Raises:
        UnavailableError: nobody answers.
        ChipMismatchError: another board than ``board`` does; "": any may.
    """
    settings = view.settings
    identity, baud = await _identified(talk, line, view, path)
    if board and identity.board != board:
        raise ChipMismatchError(
            f"{path} leads to a '{identity.board}', and {settings.name} is a '{board}'.",
            hint=f"Set devices.{settings.name}.board or line.",
        )
    view.change(identity=identity, heard_at=clock.now(), baud=baud)
    if settings.fast_baud not in {0, baud}:
        await _agree(talk, line, view)


def interval(view: DeviceView) -> Asked:
    """How often it tells: not kept over a reset."""
    twin = resources.encoded({"interval_ms": marked_interval_ms(view)})
    return Asked(Method.PUT, "twin", twin, format=CBOR)


def marked_interval_ms(view: DeviceView) -> int:
    """Never the one that a device has by itself, so that reading it says whether the device was reset since."""
    wanted = view.settings.interval_ms
    return wanted + 1 if wanted == _STANDARD_INTERVAL_MS else wanted


async def _identified(
    talk: Conversation, line: DeviceLine, view: DeviceView, path: str
) -> tuple[DeviceIdentity, int]:
    settings = view.settings
    rates = [settings.baud, *([settings.fast_baud] if settings.fast_baud else [])]
    for baud in rates:
        if baud != rates[0]:
            await line.set_baud(baud)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * settings.silence_s):
                response = await talk.ask(Asked(Method.GET, "id"))
                return read_identity(resources.document_of(response)), baud
    raise UnavailableError(
        f"Nothing on {path} answers as a device does.",
        hint="Does it run the reference firmware, and at this baud?",
    )


async def _agree(talk: Conversation, line: DeviceLine, view: DeviceView) -> None:
    """Go on at the faster rate, if the device can and the line carries it; otherwise both come back."""
    settings = view.settings
    baud = settings.fast_baud
    asked = Asked(Method.PUT, "line", resources.encoded({"baud": baud}), format=CBOR)
    response = await talk.ask(asked)
    if not response.is_success:
        log.info("%s: it stays at %d baud: %s", settings.name, settings.baud, response.text)
        return
    await line.set_baud(baud)
    with suppress(TimeoutError, UnavailableError):
        async with asyncio.timeout(_PROOF_S):
            resources.require_done(await talk.ask(Asked(Method.GET, "line")))
            view.change(baud=baud)
            return
    log.warning("%s: the line does not carry %d baud; it goes on at %d.", settings.name, baud, settings.baud)
    await line.set_baud(settings.baud)
