"""Firmware files: every form that boards take, and damage that is told before a board is touched."""

from __future__ import annotations

import io
import random
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intelhex import IntelHex

from boards.catalog import load_catalog
from edgehost.adapters.boards.image_files import parse_image, parse_parts, read_file
from edgehost.domain.errors import (
    ChipMismatchError,
    EdgehostError,
    InvalidImageError,
    NotFoundError,
    TooLargeError,
)
from edgehost.domain.flashing import Segment
from edgehost.domain.image_checks import check_image
from tests.boards.avr_boards import BOOTLOADERS, KINDS, app

CATALOG = load_catalog()
UNO, PICO, S3, ESP32 = (CATALOG.get(name) for name in ("uno", "pico", "esp32-s3-devkitc-1", "esp32-devkitc"))
NOISE = random.Random(1).randbytes(5000)  # noqa: S311 - filler


def hex_of(parts: dict[int, bytes]) -> bytes:
    """As the intelhex library writes it."""
    written = IntelHex()
    for address, data in parts.items():
        written.frombytes(data, offset=address)
    text = io.StringIO()
    written.write_hex_file(text)
    return text.getvalue().encode()


def uf2(parts: dict[int, bytes], family: int, *, total: int = 0) -> bytes:
    chunks = [(at + i, data[i : i + 256]) for at, data in parts.items() for i in range(0, len(data), 256)]
    return b"".join(
        struct.pack(
            "<8I", 0x0A324655, 0x9E5D5157, 0x2000, at, len(data), number, total or len(chunks), family
        )
        + data.ljust(476, b"\0")
        + (0x0AB16F30).to_bytes(4, "little")
        for number, (at, data) in enumerate(chunks)
    )


def esp_image(chip_id: int, size: int = 64) -> bytes:
    return bytes([0xE9, 1, 2, 0x20]) + bytes(8) + chip_id.to_bytes(2, "little") + bytes(size - 14)


def test_a_plain_file_goes_to_the_boards_base() -> None:
    assert parse_image("a.bin", NOISE, UNO).segments == (Segment(0, NOISE),)
    assert parse_image("a.bin", NOISE, PICO).segments[0].address == 0x1000_0000


def test_intel_hex_is_read_as_the_library_reads_it() -> None:
    content = hex_of({0x10: NOISE[:700], 0x2000: NOISE[:33], 0x1_0000: NOISE[:20]})
    image = parse_image("a.hex", content, UNO)
    assert image.format == "hex"
    assert image.segments == (
        Segment(0x10, NOISE[:700]),
        Segment(0x2000, NOISE[:33]),
        Segment(0x1_0000, NOISE[:20]),
    )


def test_the_bootloaders_of_others_are_read_as_the_library_reads_them() -> None:
    path = BOOTLOADERS / KINDS["stk500v2"].bootloader
    if not path.exists():
        pytest.skip("arduino-core-avr is not installed")
    judge = IntelHex(str(path))
    ours = parse_image(path.name, path.read_bytes(), CATALOG.get("mega2560"))
    assert [(part.address, part.end) for part in ours.segments] == judge.segments()
    assert b"".join(part.data for part in ours.segments) == b"".join(
        judge.tobinstr(start, end - 1) for start, end in judge.segments()
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace(b":10", b":11", 1), "Line 1 of a.hex is no record"),
        (lambda text: text.replace(b"\n", b"\n:0000\n", 1), "is no record"),
        (lambda text: text[:20] + bytes([text[20] ^ 1]) + text[21:], "checksum"),
        (lambda text: text.rsplit(b":", 1)[0], "breaks off"),
        (lambda text: text.split(b"\n", 1)[0] + b"\n" + text, "twice"),
        (lambda text: text + b":0100000000FF\n", "behind the end"),
    ],
)
def test_damaged_intel_hex_is_refused(spoil: object, said: str) -> None:
    assert callable(spoil)
    with pytest.raises(InvalidImageError, match=said):
        parse_image("a.hex", spoil(hex_of({0: NOISE[:100]})), UNO)


def test_elf_is_what_the_compiler_put_into_flash() -> None:
    kind = KINDS["stk500v1"]
    elf = app(kind.mcu, kind.baud, "elf")
    image = parse_image(elf.name, elf.read_bytes(), UNO)
    assert (image.format, image.machine) == ("elf", "avr")
    assert b"".join(part.data for part in image.segments) == elf.with_suffix(".bin").read_bytes()
    assert parse_image("a.hex", elf.with_suffix(".hex").read_bytes(), UNO).segments == image.segments
    assert check_image(image, UNO) == ()
    with pytest.raises(ChipMismatchError, match="built for avr; 'pico' has the core cortex-m0plus"):
        check_image(parse_image(elf.name, elf.read_bytes(), PICO), PICO)
    with pytest.raises(InvalidImageError, match="elf2image"):
        parse_image(elf.name, elf.read_bytes(), ESP32)
    with pytest.raises(InvalidImageError):
        parse_image(elf.name, elf.read_bytes()[:200], UNO)


def test_an_elf_whose_segments_share_bytes_costs_no_more_than_its_size() -> None:
    body = NOISE[:64]
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 40, 1, 0, 52, 0, 0, 52, 32, 200, 0, 0, 0
    )
    size = 52 + 200 * 32 + len(body)
    segment = struct.pack("<8I", 1, 0, 0, 0x2000, size, size, 5, 4)
    with pytest.raises(InvalidImageError, match="gives bytes twice"):
        parse_image("a.elf", header + 200 * segment + body, PICO)


def test_uf2_of_several_chips_gives_the_boards_part() -> None:
    other, own = 0xE48BFF59, 0xE48BFF56
    content = uf2({0x1000_0000: NOISE[:1000]}, other) + uf2({0x1000_0000: NOISE[1000:1600]}, own)
    image = parse_image("a.uf2", content, PICO)
    assert image.segments == (Segment(0x1000_0000, NOISE[1000:1600]),)
    assert image.family == own
    with pytest.raises(ChipMismatchError, match="0xe48bff59"):
        parse_image("a.uf2", content[: 512 * 4], PICO)
    with pytest.raises(InvalidImageError, match="4 of 9 blocks"):
        parse_image("a.uf2", uf2({0x1000_0000: NOISE[:1000]}, own, total=9), PICO)
    with pytest.raises(InvalidImageError, match=r"Block 1 of a\.uf2 is damaged"):
        parse_image("a.uf2", content[:515] + b"!" + content[516:], PICO)
    with pytest.raises(InvalidImageError, match="whole number"):
        parse_image("a.uf2", content[:-1], PICO)


def test_parts_go_to_the_offsets_of_their_roles_or_to_addresses() -> None:
    bootloader, table, app_image = esp_image(0, 4000), b"\xaa\x50" + bytes(100), esp_image(0, 9000)
    parts = {
        "app": ("app.bin", app_image),
        "bootloader": ("boot.bin", bootloader),
        "partitions": ("table.bin", table),
        "0x200000": ("data.bin", NOISE),
    }
    image = parse_parts(parts, ESP32)
    assert [part.address for part in image.segments] == [0x1000, 0x8000, 0x1_0000, 0x20_0000]
    assert check_image(image, ESP32) == ()
    with pytest.raises(InvalidImageError, match="Did you mean 'bootloader'"):
        parse_parts({"botloader": ("a", b"1")}, ESP32)
    with pytest.raises(InvalidImageError, match="'bootloader' and 'partitions' overlap"):
        check_image(
            parse_parts({"bootloader": ("a", esp_image(0, 0x7100)), "partitions": ("b", table)}, ESP32), ESP32
        )


def test_an_espressif_image_says_what_chip_it_is_for() -> None:
    check_image(parse_image("a.bin", esp_image(9), S3), S3)
    with pytest.raises(ChipMismatchError, match="is for ESP32-C3; 'esp32-s3-devkitc-1' has ESP32-S3"):
        check_image(parse_image("a.bin", esp_image(5), S3), S3)
    with pytest.raises(ChipMismatchError, match="id 999"):
        check_image(parse_image("a.bin", esp_image(999), S3), S3)
    with pytest.raises(InvalidImageError, match="e9"):
        check_image(parse_image("a.bin", NOISE, S3), S3)
    with pytest.raises(InvalidImageError, match="partition table"):
        check_image(parse_parts({"partitions": ("t.bin", NOISE)}, S3), S3)


def test_what_does_not_fit_or_touches_the_bootloader_is_refused() -> None:
    check_image(parse_image("a.bin", bytes(32_256), UNO), UNO)
    with pytest.raises(TooLargeError, match="room for 32256: 1 bytes too many") as large:
        check_image(parse_image("a.bin", bytes(32_257), UNO), UNO)
    assert "without" in large.value.hint
    with pytest.raises(InvalidImageError, match="0x7e00-0x7fff of 'uno' belongs to its bootloader"):
        check_image(parse_image("a.hex", hex_of({0: NOISE, 0x7E00: NOISE}), UNO), UNO)
    with pytest.raises(TooLargeError, match="8 bytes too many"):
        check_image(parse_image("a.bin", bytes(2 * 1024 * 1024 + 8), PICO), PICO)
    with pytest.raises(InvalidImageError, match="linked for this board"):
        check_image(parse_image("a.hex", hex_of({0: NOISE}), PICO), PICO)
    with pytest.raises(InvalidImageError, match="nothing"):
        check_image(parse_image("a.bin", b"", UNO), UNO)


def test_a_program_for_a_cortex_that_does_not_begin_as_one_is_noted() -> None:
    board = CATALOG.get("bluepill-f103c8")
    good = struct.pack("<II", 0x2000_5000, 0x0800_0101) + NOISE
    assert check_image(parse_image("a.bin", good, board), board) == ()
    assert "no stack pointer" in check_image(parse_image("a.bin", NOISE, board), board)[0]


def test_files_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "absent")
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(49 * 1024 * 1024)
    with pytest.raises(TooLargeError):
        read_file(huge)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"\x7fELF", b"UF2\n", b":00000001FF\n", b":10000000", b""]), st.binary(max_size=1100))
def test_whatever_the_bytes_are_it_is_an_image_or_a_plain_refusal(start: bytes, rest: bytes) -> None:
    for board in (UNO, PICO, ESP32):
        with suppress(EdgehostError):
            check_image(parse_image("a", start + rest, board), board)
