"""How a computer gets an ESP into its loader: DTR and RTS pull IO0 and EN through two transistors, or a USB unit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from edgehost.ports.device_line import DeviceLine

Pause = Callable[[float], Awaitable[object]]

_HOLD_S: Final = 0.1
#: Between letting EN go and letting IO0 go; a large capacitor at EN needs the second.
DELAYS_S: Final = (0.05, 0.55)


async def into_loader(line: DeviceLine, kind: str, delay_s: float, pause: Pause) -> bool:
    """False: this line cannot, or the board is reset by hand."""
    match kind:
        case "classic":
            return await _classic(line, delay_s, pause)
        case "usb-jtag":
            return await _usb_jtag(line, pause)
        case _:
            return False


async def start(line: DeviceLine, kind: str, pause: Pause) -> bool:
    """Reset into the firmware; False: this line cannot."""
    if kind not in {"classic", "usb-jtag"} or not await line.set_signals(dtr=False, rts=True):
        return False
    await pause(_HOLD_S * 2 if kind == "usb-jtag" else _HOLD_S)
    return await line.set_signals(rts=False)


async def _classic(line: DeviceLine, delay_s: float, pause: Pause) -> bool:
    if not await line.set_signals(dtr=False, rts=True):  # EN low: held in reset
        return False
    await pause(_HOLD_S)
    await line.set_signals(dtr=True, rts=False)  # IO0 low, EN high: starts its loader
    await pause(delay_s)
    return await line.set_signals(dtr=False)


async def _usb_jtag(line: DeviceLine, pause: Pause) -> bool:
    """The unit in the chip takes DTR for the boot pin; RTS resets, and both must never change at one time."""
    if not await line.set_signals(rts=False, dtr=False):
        return False
    await pause(_HOLD_S)
    await line.set_signals(dtr=True)
    await line.set_signals(rts=False)
    await pause(_HOLD_S)
    await line.set_signals(rts=True)
    await line.set_signals(dtr=False)
    await line.set_signals(rts=True)
    await pause(_HOLD_S)
    return await line.set_signals(dtr=False, rts=False)
