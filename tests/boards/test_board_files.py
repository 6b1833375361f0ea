"""Every board that comes with edgehost: complete, sane, and each fact with its source."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

import boards
from boards.board_file import PROTOCOLS, board_document, facts_of, parse_board, parse_usb
from boards.catalog import load_catalog
from edgehost.domain.board import Board, UsbId
from edgehost.domain.errors import InvalidConfigError, NotFoundError

FOLDER = Path(boards.__file__).parent
CATALOG = load_catalog()
ALL = CATALOG.all()
EACH = pytest.mark.parametrize("board", ALL, ids=[board.id for board in ALL])


def test_there_are_twenty_boards_and_virtual_ones() -> None:
    assert len([board for board in ALL if not board.emulated]) >= 20
    assert all(board.id.startswith("sim-") == board.emulated for board in ALL)
    assert [board.id for board in ALL] == sorted(board.id for board in ALL)


@EACH
def test_every_fact_names_its_source(board: Board) -> None:
    document = tomllib.loads((FOLDER / f"{board.id}.toml").read_text())
    assert set(board.sources) == set(facts_of(document))
    assert all(len(source) >= 8 for source in board.sources.values())


@EACH
def test_sizes_and_regions_make_sense(board: Board) -> None:
    flash = board.flash
    start = min((flash.base, *flash.offsets.values()))
    assert flash.size <= board.flash_bytes
    assert board.ram_bytes <= 8 * 1024 * 1024
    assert flash.page == 0 or flash.page & (flash.page - 1) == 0
    for first, size in flash.reserved:
        assert first + size <= (flash.base & 0xFF00_0000) + board.flash_bytes, (
            "reserved lies inside the flash"
        )
        assert first + size <= start or first >= flash.base + flash.size, "no image may need what is reserved"
    assert flash.protocol in PROTOCOLS
    assert flash.protocol not in ("stk500v1", "stk500v2", "avr109") or (flash.signature and flash.page)
    assert (flash.protocol == "uf2") == bool(flash.uf2_family)
    assert flash.protocol not in ("esp", "an3155", "swd") or flash.chip
    assert flash.protocol == "esp" or not flash.offsets
    assert board.recovery


def test_a_usb_id_is_of_one_board_unless_it_is_declared_as_a_chips() -> None:
    users: dict[UsbId, list[str]] = defaultdict(list)
    for board in ALL:
        for usb in (*board.usb_ids, *board.bootloader_ids):
            users[usb].append(board.id)
    for usb, names in users.items():
        assert len(names) == 1 or CATALOG.chip(usb), f"{usb} is of {names}"


def test_a_usb_id_finds_its_board_and_a_converter_all_that_may_be_behind_it() -> None:
    assert [board.id for board in CATALOG.by_usb(parse_usb("2341:0043"))] == ["uno"]
    assert [board.id for board in CATALOG.by_usb(parse_usb("2341:0036"))] == ["leonardo"]
    behind = {board.id for board in CATALOG.by_usb(parse_usb("1A86:7523"))}
    assert {"nano", "nano-old", "d1-mini", "esp32-devkitc"} <= behind
    assert "uno" not in behind
    assert "sim-m328p" not in behind
    assert CATALOG.by_usb(parse_usb("FFFF:0001")) == ()


def test_an_unknown_board_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'leonardo'"):
        CATALOG.get("leonrado")


def test_a_folder_of_ones_own_adds_and_overrides(tmp_path: Path) -> None:
    uno = (FOLDER / "uno.toml").read_text()
    (tmp_path / "uno.toml").write_text(uno.replace("Arduino UNO", "My UNO"))
    (tmp_path / "mine.toml").write_text(uno.replace('id = "uno"', 'id = "mine"'))
    catalog = load_catalog(tmp_path)
    assert catalog.get("uno").name == "My UNO"
    assert catalog.get("mine").flash.size == 32_256
    assert len(catalog.all()) == len(ALL) + 1
    with pytest.raises(NotFoundError):
        load_catalog(tmp_path / "absent")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('core = "avr"', 'core = "arv"', "Did you mean 'avr'"),
        ("page = 128", "pages = 128", "Did you mean 'page'"),
        ('id = "uno"', 'id = "due"', "its id is 'due'"),
        ("size = 32_256", "size = 99_999", "flash.size is 99999"),
        ("[[0x7e00, 512]]", "[[0x7e00]]", "first address, bytes"),
        ("2341:0043", "2341-0043", "a USB id"),
        ("[flash]", "[flash", "Board 'uno'"),
        ("page = 128", 'page = 128\ntool = "pyocd"', "does not leave"),
        ("ram_bytes = 2048\n", "", "ram_bytes is missing"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(before: str, after: str, said: str) -> None:
    content = (FOLDER / "uno.toml").read_text()
    assert before in content
    with pytest.raises(InvalidConfigError, match="Board 'uno'") as refused:
        parse_board(content.replace(before, after), "uno")
    assert said in str(refused.value)


def test_a_document_has_the_keys_of_the_file() -> None:
    document = board_document(CATALOG.get("uno"))
    assert document["usb_ids"][0] == "2341:0043"
    assert document["flash"]["protocol"] == "stk500v1"
