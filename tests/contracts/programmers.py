"""The benches that the contract of programmers runs on: name to what opens one in a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.boards.an3155_bench import an3155_bench
from tests.boards.avr_bench import avr_bench
from tests.boards.esp_bench import esp_bench
from tests.boards.programmer_bench import Bench
from tests.boards.pyocd_bench import pyocd_bench
from tests.boards.smp_bench import smp_bench
from tests.boards.uf2_bench import uf2_bench

BENCHES: dict[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {
    "an3155": an3155_bench,
    "avr109": avr_bench("avr109"),
    "esp32s3": esp_bench("esp32s3"),
    "esp8266": esp_bench("esp8266"),
    "esptool-esp32s3": esp_bench("esp32s3", "esptool"),
    "esptool-esp8266": esp_bench("esp8266", "esptool"),
    "pyocd-nrf51": pyocd_bench,
    "smp": smp_bench,
    "uf2": uf2_bench,
    "stk500v1": avr_bench("stk500v1"),
    "stk500v2": avr_bench("stk500v2"),
}
