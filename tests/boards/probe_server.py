"""A debug probe in front of an emulated chip, by pyOCD's protocol for remote probes (pyocd/probe/tcp_probe_server.py).

The debug registers of a Cortex-M0 that qemu does not have are played here (ARMv6-M Architecture Reference Manual, C1); the
chip, its memory and its flash controller are qemu's.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.boards.gdb_target import GdbTarget

AP0_IDR, ROM_TABLE = 0x0477_0021, 0xE00F_F000
DHCSR, DCRSR, DCRDR, DEMCR = 0xE000_EDF0, 0xE000_EDF4, 0xE000_EDF8, 0xE000_EDFC
AIRCR, CPUID, DFSR = 0xE000_ED0C, 0xE000_ED00, 0xE000_ED30
SCS, DWT, BPU = 0xE000_E000, 0xE000_1000, 0xE000_2000
_PROBE_DISCONNECTED = 2
_POWER_UP = (1 << 28) | (1 << 30)


def _component(base: int, part: int, kind: int) -> dict[int, int]:
    """Peripheral and component id registers (CoreSight): ARM's part of this class."""
    ids = {0xFE0: part & 0xFF, 0xFE4: 0xB0 | part >> 8, 0xFE8: 0x0B, 0xFEC: 0, 0xFD0: 4}
    ids |= {0xFF0: 0x0D, 0xFF4: kind << 4, 0xFF8: 0x05, 0xFFC: 0xB1}
    return {base + offset: value for offset, value in ids.items()}


FIXED = (
    {ROM_TABLE: 0xFFF0_F003, ROM_TABLE + 4: 0xFFF0_2003, ROM_TABLE + 8: 0xFFF0_3003, CPUID: 0x410C_C200}
    | _component(ROM_TABLE, 0x471, 0x1)
    | _component(SCS, 0x008, 0xE)
    | _component(DWT, 0x00A, 0xE)
    | _component(BPU, 0x00B, 0xE)
)


class ProbeServer:
    """Serves one client after the other; ``line`` is what pyOCD calls this probe. Unplugged, it keeps the chip."""

    def __init__(self, target: GdbTarget) -> None:
        self.target = target
        self._registers: dict[int, int] = {DHCSR: 0, DEMCR: 0}
        self._control = 0
        self.is_plugged_in = True
        self.lock = threading.Lock()  # around each use of the target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="probe", daemon=True)
        self._thread.start()

    @property
    def line(self) -> str:
        return f"id:remote:127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            with connection, connection.makefile("rwb") as stream, suppress(OSError):
                for line in stream:
                    stream.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                    stream.flush()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        verb: Callable[..., Any] = getattr(self, f"_{asked['request']}", lambda *_: None)
        if not self.is_plugged_in:
            return {"id": asked["id"], "status": _PROBE_DISCONNECTED, "error": "the probe is gone"}
        with self.lock:
            return {"id": asked["id"], "status": 0, "result": verb(*asked.get("arguments", []))}

    # The verbs of the protocol; those that have no name here answer nothing

    def _readprop(self, name: str) -> Any:
        return {
            "capabilities": ["MANAGED_AP_SELECTION", "MANAGED_DPBANKSEL", "BANKED_DP_REGISTERS"],
            "supported_wire_protocols": ["DEFAULT", "SWD"],
            "wire_protocol": "SWD",
        }.get(name, "emulated")

    def _is_reset_asserted(self) -> bool:
        return False

    def _reset(self) -> None:
        self._set(AIRCR, 1 << 2)

    def _read_dp(self, address: int) -> int:
        if address & 0xF == 0:
            return 0x0BB1_1477
        return self._control | (self._control & _POWER_UP) << 1 if address & 0xF == 4 else 0

    def _write_dp(self, address: int, value: int) -> None:
        if address & 0xF == 4:
            self._control = value

    def _read_ap(self, address: int) -> int:
        if address >> 24:
            return 0
        return {0xFC: AP0_IDR, 0xF8: ROM_TABLE | 3, 0x00: 0x0300_0042}.get(address & 0xFF, 0)

    def _get_memory_interface_for_ap(self, _version: int, _address: int) -> int:
        return 1

    def _read_mem(self, _handle: int, address: int, bits: int) -> int:
        if bits == 32:
            return self._get(address)
        return int.from_bytes(self.target.read(address, bits // 8), "little")

    def _write_mem(self, _handle: int, address: int, value: int, bits: int) -> None:
        if bits == 32:
            self._set(address, value)
        else:
            self.target.write(address, value.to_bytes(bits // 8, "little"))

    def _read_block32(self, _handle: int, address: int, count: int) -> list[int]:
        if address >= 0xE000_0000:
            return [self._get(address + 4 * at) for at in range(count)]
        data = self.target.read(address, 4 * count)
        return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]

    def _write_block32(self, _handle: int, address: int, values: list[int]) -> None:
        self.target.write(address, b"".join(value.to_bytes(4, "little") for value in values))

    def _read_block8(self, _handle: int, address: int, count: int) -> list[int]:
        return list(self.target.read(address, count))

    def _write_block8(self, _handle: int, address: int, values: list[int]) -> None:
        self.target.write(address, bytes(values))

    # The chip's memory, with the debug registers in it

    def _get(self, address: int) -> int:
        if address == DHCSR:
            self.target.look()
            return self._registers[DHCSR] & 0xF | 1 << 16 | self.target.is_halted << 17
        if address >= 0xE000_0000:
            return FIXED.get(address, self._registers.get(address, 0))
        return int.from_bytes(self.target.read(address, 4), "little")

    def _set(self, address: int, value: int) -> None:
        if address < 0xE000_0000:
            self.target.write(address, value.to_bytes(4, "little"))
            return
        self._registers[address] = value
        if address == DHCSR:
            self._run(value)
        elif address == DCRSR:
            self._transfer(value)
        elif address == AIRCR and value & 1 << 2:
            self.target.reset()
            if not self._registers[DEMCR] & 1 and not self._registers[DHCSR] & 2:
                self.target.resume(until=0xFFFF_FFF0)

    def _run(self, value: int) -> None:
        if value & 2:
            self.target.halt()
        elif self.target.is_halted and value & 4:
            self.target.step()
        elif self.target.is_halted and value & 1:
            self.target.resume(until=self.target.register(14) & ~1)

    def _transfer(self, value: int) -> None:
        number = {16: 25, 17: 13}.get(value & 0x7F, value & 0x7F)
        if number > 15 and number != 25:
            self._registers[DCRDR] = 0
        elif value & 1 << 16:
            self.target.set_register(number, self._registers.get(DCRDR, 0))
        else:
            self._registers[DCRDR] = self.target.register(number)
