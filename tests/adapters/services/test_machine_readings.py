"""The machine's readings and its clock, on the real machine and on a made-up one."""

from __future__ import annotations

import time
from pathlib import Path

from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.ports.readings import READINGS


async def test_the_real_machine_has_its_readings(tmp_path: Path) -> None:
    readings = await LinuxReadings(tmp_path).read()
    assert tuple(readings) == READINGS
    assert readings["load_1m"] is not None
    total, used = readings["memory_total_bytes"], readings["memory_used_bytes"]
    assert total is not None
    assert used is not None
    assert 0 < used < total
    assert (readings["uptime_s"] or 0) > 0
    assert (readings["disk_total_bytes"] or 0) > 0


async def test_the_hottest_plausible_sensor_counts_and_loopback_does_not(tmp_path: Path) -> None:
    for name, value in (
        ("thermal/thermal_zone0/temp", "41500\n"),
        ("thermal/thermal_zone1/temp", "-274000\n"),
        ("hwmon/hwmon0/temp1_input", "39000\n"),
        ("thermal/thermal_zone2/temp", "broken"),
    ):
        path = tmp_path / "sys/class" / name
        path.parent.mkdir(parents=True)
        path.write_text(value)
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    (net / "dev").write_text(
        "Inter-|   Receive\n face |bytes\n    lo: 99 0 0 0 0 0 0 0 99 0 0 0 0 0 0 0\n"
        "  eth0: 100 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n wlan0:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n"
    )
    readings = await LinuxReadings(tmp_path, proc=tmp_path / "proc", sys=tmp_path / "sys").read()
    assert readings["temperature_c"] == 41.5
    assert (readings["net_rx_bytes"], readings["net_tx_bytes"]) == (101, 9)
    assert readings["load_1m"] is None
    assert readings["memory_used_bytes"] is None


async def test_a_machine_without_anything_has_none_of_it(tmp_path: Path) -> None:
    readings = await LinuxReadings(tmp_path / "gone", proc=tmp_path, sys=tmp_path).read()
    assert readings == dict.fromkeys(READINGS)


def test_the_clock_never_falls_below_its_floor_and_runs_on_from_it() -> None:
    machine = time.time()  # noqa: TID251 - what the clock is measured against
    assert abs(SystemClock().now() - machine) < 5
    future = machine + 1_000_000
    clock = SystemClock(floor=future)
    first = clock.now()
    assert first >= future
    assert clock.now() > first
    clock.raise_floor(machine)
    assert clock.now() >= future
    clock.raise_floor(future + 500)
    assert clock.now() >= future + 500
    assert clock.monotonic() <= clock.monotonic()


def test_a_clock_that_is_set_is_believed_whatever_was_written_while_it_stood_years_ahead() -> None:
    machine = time.time()  # noqa: TID251 - as above
    unset = SystemClock(set_from=machine + 1000)
    unset.raise_floor(machine + 1_000_000)
    assert unset.now() >= machine + 1_000_000
    is_set = SystemClock(set_from=machine - 1000)
    is_set.raise_floor(machine + 1_000_000)
    assert abs(is_set.now() - machine) < 5
