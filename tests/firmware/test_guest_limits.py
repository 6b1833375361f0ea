"""No guest can stop the device: loops, recursion, traps, memory, and what the engine would not survive."""

from __future__ import annotations

import pytest

from tests.firmware.conftest import BLINK, Device, Manifest, Start
from tests.firmware.device_client import CHANGED, GET
from tests.firmware.wat_guests import (
    IMPORTED_MEMORY,
    LOOPING,
    LOOPING_PROBE,
    LOOPING_START,
    NAMED,
    RECURSING,
    STARTING,
    TRAPPING,
    TRAPPING_PROBE,
    UNKNOWN_IMPORT,
    nested,
)

SERVER_ERROR, TIMEOUT, UNPROCESSABLE = 0xA0, 0xA4, 0x96


def deployed(device: Device, wasm: bytes, sequence: int = 1) -> None:
    """It runs."""
    assert device.client.deploy(wasm, Manifest(wasm, sequence).bytes()).code == CHANGED


@pytest.mark.parametrize(
    "export",
    ["spin", "spin_conditionally", "spin_by_table", "spin_nested", "spin_calling", "fill"],
)
def test_a_guest_that_loops_for_ever_is_stopped_and_the_device_goes_on(start: Start, export: str) -> None:
    with start() as device:
        deployed(device, LOOPING)
        answer = device.client.call("device-blink", export)
        assert (answer.code, answer.text) == (TIMEOUT, "budget: the call took too long and was stopped")
        assert device.client.ask(GET, "tel").document["faults"] == 1


def test_a_guest_that_takes_few_steps_but_long_is_stopped_by_the_clock(start: Start) -> None:
    with start() as device:
        deployed(device, LOOPING)
        before = device.client.ask(GET, "tel").document
        assert device.client.call("device-blink", "spin_slowly").code == TIMEOUT
        after = device.client.ask(GET, "tel").document
        assert after["steps"] - before["steps"] < 20_000_000
        assert 1000 <= after["up_ms"] - before["up_ms"] < 5000


@pytest.mark.parametrize("export", ["direct", "indirect", "mutual"])
def test_a_guest_that_recurses_for_ever_traps(start: Start, export: str) -> None:
    with start() as device:
        deployed(device, RECURSING)
        answer = device.client.call("device-blink", export)
        assert answer.code == SERVER_ERROR
        assert "[trap]" in answer.text


@pytest.mark.parametrize(
    ("export", "why"),
    [("unreachable", "unreachable"), ("divide", "divide by zero"), ("beyond", "out of bounds memory access")],
)
def test_a_trap_is_told_and_the_next_call_finds_a_fresh_instance(start: Start, export: str, why: str) -> None:
    with start() as device:
        deployed(device, TRAPPING)
        answer = device.client.call("device-blink", export)
        assert answer.code == SERVER_ERROR
        assert why in answer.text
        assert device.client.call("device-blink", "inside").code == CHANGED


def test_a_start_function_runs_once_at_the_start(start: Start) -> None:
    with start() as device:
        deployed(device, STARTING)
        assert device.client.call("device-blink", "started").code == CHANGED


def test_memory_ends_where_the_manifest_says_and_does_not_grow_beyond(start: Start) -> None:
    with start() as device:
        deployed(device, TRAPPING)  # its manifest says 4096 bytes, its module one page
        assert device.client.call("device-blink", "inside").code == CHANGED
        assert device.client.call("device-blink", "grow").code == CHANGED  # -1 + 1


@pytest.mark.parametrize(
    ("wasm", "why"),
    [
        (LOOPING_PROBE, "budget"),
        (TRAPPING_PROBE, "unreachable"),
        (UNKNOWN_IMPORT, "missing imported function"),
        (IMPORTED_MEMORY, "something else than functions"),
        (LOOPING_START, "budget"),
        (NAMED, "debug names"),
        (b"\0asm\x02\0\0\0 and more", "no WebAssembly"),
        (nested(20_000), "engine: "),
    ],
    ids=[
        "looping probe",
        "trapping probe",
        "unknown import",
        "memory",
        "start",
        "names",
        "no module",
        "nested",
    ],
)
def test_a_release_that_fails_its_probe_leaves_the_old_one_running(
    start: Start, wasm: bytes, why: str
) -> None:
    with start() as device:
        deployed(device, BLINK)
        answer = device.client.deploy(wasm, Manifest(wasm, 2).bytes())
        assert why in answer.text
        assert device.client.ask(GET, "twin").document["running"]["sequence"] == 1
        assert device.client.call("device-blink", "set", b'{"on": true}').code == CHANGED
        again = device.client.deploy(wasm, Manifest(wasm, 3).bytes())
        assert again.text == "quarantine: this release has failed here before"


def test_an_input_that_is_larger_than_the_device_takes_is_refused(start: Start) -> None:
    with start() as device:
        deployed(device, BLINK)
        answer = device.client.put_blocks(2, "call/device-blink/set", b" " * 9000)
        assert answer.code == 0x8D
        assert device.client.call("device-blink", "set", b'{"on": true}').code == CHANGED
