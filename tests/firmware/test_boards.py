"""The firmware on emulated Cortex-M0, M3, M4 and M7: components run, guests are stopped, power cuts are survived."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cbor2
import pytest

from edgehost.domain.component_file import padded
from firmware_bridge.device.provision import provisioned
from tests.firmware.conftest import BLINK, KEY, UID, Manifest, built, public_bytes
from tests.firmware.device_client import CHANGED, GET, POST, PUT
from tests.firmware.emulated_boards import BOARDS, SZX, emulated
from tests.firmware.wat_guests import component, nested, saying

V1, V2 = saying("one"), padded(saying("two"), 6000)
SMALL = component("""(module (memory 1)
  (func (export "touch") (result i32) (i32.store (i32.const 1000) (i32.const 1)) (i32.const 0))
  (func (export "beyond") (result i32) (i32.load (i32.const 1024)))
  (func (export "spin") (result i32) (loop (br 0)) (i32.const 0))
  (func (export "recurse") (result i32) (call 3)))""")
#: Code and constants may not grow beyond this without somebody deciding so.
MOST_ROM_BYTES = {
    "lm3s6965evb": 110_000,
    "mps2-an385": 110_000,
    "mps2-an500": 104_000,
    "netduinoplus2": 110_000,
    "microbit": 90_000,
}


def image_for(board: str, folder: Path) -> Path:
    """The board's firmware, provisioned."""
    path = folder / "firmware.elf"
    path.write_bytes(
        provisioned(built(board, compiler="arm-none-eabi-gcc").read_bytes(), UID, [public_bytes(KEY)])
    )
    return path


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_runs_a_component_and_stops_it_where_it_must(board: str, tmp_path: Path) -> None:
    with emulated(board, image_for(board, tmp_path), tmp_path) as running:
        found, client = running.ready(), running.client
        assert found["board"] == board
        assert found["float"] is (board != "microbit")
        szx = SZX[int(str(found["block"]))]
        manifest = Manifest(SMALL, members={6: [board], 8: 1024})
        assert client.deploy(SMALL, manifest.bytes(), szx).code == CHANGED
        assert client.call("device-blink", "touch").code == CHANGED
        assert "out of bounds" in client.call("device-blink", "beyond").text
        assert client.call("device-blink", "spin").text.startswith("budget:")
        assert "[trap]" in client.call("device-blink", "recurse").text
        assert client.ask(PUT, "line", cbor2.dumps({"baud": 57_600})).code == CHANGED
        assert client.ask(GET, "line").document == {"baud": 57_600}
        assert client.ask(PUT, "line", cbor2.dumps({"baud": 7_000_000})).code == 0x80
        deep = nested(1500)  # refused for the C stack or for memory, or taken: the device goes on
        client.deploy(deep, Manifest(deep, 2, members={8: 0}).bytes(), szx)
        assert client.ask(POST, "reset").code == CHANGED
        running.ready()
        assert client.ask(GET, "slot").document["sequence"] in (1, 2)


@pytest.mark.parametrize("board", [board for board in BOARDS if board != "microbit"])
def test_a_board_runs_the_lamp(board: str, tmp_path: Path) -> None:
    with emulated(board, image_for(board, tmp_path), tmp_path) as running:
        running.ready()
        client = running.client
        assert client.deploy(BLINK, Manifest(BLINK, members={8: 2048}).bytes()).code == CHANGED
        assert client.call("device-blink", "set", b'{"on": true}').text == '{"on":true}'
        assert client.ask(GET, "tel").document["component"] == '{"on":true,"switched":1}'


def test_a_component_that_does_not_fit_a_small_board_is_refused_at_the_commit(tmp_path: Path) -> None:
    with emulated("microbit", image_for("microbit", tmp_path), tmp_path) as running:
        running.ready()
        answer = running.client.deploy(BLINK, Manifest(BLINK, members={8: 1024}).bytes(), 3)
        assert answer.text.startswith("memory:")
        assert running.client.ask(GET, "id").code == 0x45


@pytest.mark.slow
def test_power_cuts_at_the_blocks_of_a_transfer_and_at_its_commit(tmp_path: Path) -> None:
    """The emulator is killed after each block; the device goes on from the last whole sector."""
    image = image_for("lm3s6965evb", tmp_path)
    with emulated("lm3s6965evb", image, tmp_path) as running:
        running.ready()
        assert running.client.deploy(V1, Manifest(V1).bytes()).code == CHANGED
    manifest = Manifest(V2, 2).bytes()
    had = []
    for blocks in range(1, len(V2) // 512 + 1):
        with emulated("lm3s6965evb", image, tmp_path) as running:
            running.ready()
            client = running.client
            assert client.call("device-blink", "who").text == "one"
            have = client.put_blocks(PUT, "slot/manifest", manifest).document["have"]
            had.append(have)
            client.put_blocks(PUT, "slot/image", V2, offset=have, stop_at=blocks * 512)
            running.cut_power()
    assert had == sorted(had)
    assert had[-1] >= 1024
    with emulated("lm3s6965evb", image, tmp_path) as running:
        running.ready()
        assert running.client.deploy(V2, manifest).code == CHANGED
        running.cut_power()
    with emulated("lm3s6965evb", image, tmp_path) as running:
        running.ready()
        assert running.client.call("device-blink", "who").text.startswith("two")


@pytest.mark.parametrize("board", BOARDS)
def test_the_firmware_keeps_its_size(board: str) -> None:
    elf = built(board, compiler="arm-none-eabi-gcc")
    listed = subprocess.run(
        ["arm-none-eabi-size", str(elf)], capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()[1]
    text, data, _ = (int(word) for word in listed.split()[:3])
    assert text + data <= MOST_ROM_BYTES[board]


@pytest.mark.parametrize("board", BOARDS)
def test_the_firmware_has_no_heap_and_no_printf(board: str) -> None:
    elf = built(board, compiler="arm-none-eabi-gcc")
    symbols = subprocess.run(
        ["arm-none-eabi-nm", str(elf)], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    unwanted = {
        "malloc",
        "_malloc_r",
        "calloc",
        "realloc",
        "free",
        "_sbrk",
        "printf",
        "snprintf",
        "_vfprintf_r",
    }
    assert not unwanted & set(symbols)
