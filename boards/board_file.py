"""Reads one board's TOML file; every key is checked, and no unknown one is passed over."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from edgehost.domain.board import TOOLS, Board, BridgeFacts, FlashFacts, UsbId, WasmFacts
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader

PROTOCOLS: Final = (
    "esp", "uf2", "stk500v1", "stk500v2", "avr109", "an3155", "smp", "dfu", "swd", "volume",
)  # fmt: skip
CORES: Final = (
    "avr", "xtensa", "riscv32", "cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33",
)  # fmt: skip
RESETS: Final = ("none", "dtr", "classic", "usb-jtag", "touch1200", "manual")
_USB: Final = worded(r"[0-9A-F]{4}:[0-9A-F]{4}", "a USB id such as 2341:0043, upper-case")
_SIGNATURE: Final = worded(r"[0-9a-f]{6}", "three bytes in lower-case hex")
_ROLE: Final = worded(r"[a-z][a-z0-9_-]{0,31}", "the role of a part, such as bootloader")
_ADDRESS: Final = 2**32
_MOST_REGIONS: Final = 16
_SOURCE_CHARACTERS: Final = 400


def parse_board(content: str, name: str) -> Board:
    """The board that the text describes; ``name`` is its file's, for messages, and must be its id.

    Raises:
        InvalidConfigError: the text is no TOML, or says what no board can be.
    """
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidConfigError(f"Board '{name}': {problem}.") from None
    try:
        board = _read(SpecReader(document, error=InvalidConfigError))
    except InvalidConfigError as problem:
        raise InvalidConfigError(f"Board '{name}': {problem.message}", hint=problem.hint) from None
    if board.id != name:
        raise InvalidConfigError(
            f"Board '{name}': its id is '{board.id}'.", hint="Name the file after the id."
        )
    return board


def parse_usb(text: str) -> UsbId:
    """``2341:0043`` as two numbers."""
    vendor, _, product = text.partition(":")
    return UsbId(int(vendor, 16), int(product, 16))


def board_document(board: Board) -> dict[str, Any]:
    """The board as JSON shows it: the keys of its file."""
    document = asdict(board)
    for key in ("usb_ids", "bootloader_ids"):
        document[key] = [str(usb) for usb in getattr(board, key)]
    return document


def _read(table: SpecReader) -> Board:
    flash_bytes = table.whole("flash_bytes", least=1024, most=_ADDRESS)
    board = Board(
        id=table.text("id", pattern=NAME),
        name=table.text("name", longest=100),
        vendor=table.text("vendor", longest=100),
        mcu=table.text("mcu", longest=60),
        core=table.choice("core", CORES),
        cpu_hz=table.whole("cpu_hz", least=1_000, most=10_000_000_000),
        flash_bytes=flash_bytes,
        ram_bytes=table.whole("ram_bytes", least=64, most=_ADDRESS),
        flash=_flash(table.table("flash"), flash_bytes),
        usb_ids=_usb_ids(table, "usb_ids"),
        bootloader_ids=_usb_ids(table, "bootloader_ids"),
        wasm=_wasm(table.table("wasm")),
        bridge=_bridge(table.table("bridge")),
        pins=table.text_map("pins"),
        recovery=table.text("recovery", default="", longest=500),
        sources=table.text_map("sources", longest=_SOURCE_CHARACTERS),
        emulated=table.flag("emulated", default=False),
    )
    table.refuse_unknown()
    return board


def _flash(table: SpecReader, flash_bytes: int) -> FlashFacts:
    offsets = table.table("offsets")
    protocol = table.choice("protocol", PROTOCOLS)
    facts = FlashFacts(
        protocol=protocol,
        tool=_tool(table, protocol),
        baud=table.whole("baud", least=300, most=8_000_000, default=115_200),
        base=table.whole("base", least=0, most=_ADDRESS - 1, default=0),
        size=table.whole("size", least=1, most=flash_bytes),
        page=table.whole("page", least=0, most=65_536, default=0),
        reset=table.choice("reset", RESETS, default="none"),
        parity=table.choice("parity", ("none", "even"), default="none"),
        chip=table.text("chip", default="", longest=60),
        signature=table.text("signature", default="", pattern=_SIGNATURE),
        uf2_family=table.whole("uf2_family", least=0, most=_ADDRESS - 1, default=0),
        reserved=_regions(table),
        offsets={name: offsets.whole(name, least=0, most=_ADDRESS - 1) for name in _roles(offsets)},
    )
    table.refuse_unknown()
    return facts


def _tool(table: SpecReader, protocol: str) -> str:
    tools = TOOLS.get(protocol, ())
    if not tools and table.anything("tool") is not None:
        raise table.refused("tool", f"is a choice that the protocol '{protocol}' does not leave.")
    return table.choice("tool", ("", *tools), default="") if tools else ""


def _roles(table: SpecReader) -> tuple[str, ...]:
    for name in table.names():
        if not _ROLE.fullmatch(name):
            raise table.refused(name[:80], "is no role of a part.")
    return table.names()


def _regions(table: SpecReader) -> tuple[tuple[int, int], ...]:
    given = table.anything("reserved") or []
    if (
        not isinstance(given, list)
        or len(given) > _MOST_REGIONS
        or not all(_is_region(item) for item in given)
    ):
        raise table.refused("reserved", "must be a list of [first address, bytes].")
    return tuple((first, size) for first, size in given)


def _is_region(item: object) -> bool:
    match item:
        case [int(first), int(size)]:
            return first >= 0 and size > 0 and first + size <= _ADDRESS
        case _:
            return False


def _usb_ids(table: SpecReader, key: str) -> tuple[UsbId, ...]:
    return tuple(parse_usb(text) for text in table.texts(key, pattern=_USB))


def _wasm(table: SpecReader) -> WasmFacts:
    facts = WasmFacts(
        supported=table.flag("supported", default=False),
        profile=table.choice("profile", ("full", "nofloat"), default="full"),
        stack_bytes=table.whole("stack_bytes", least=0, most=_ADDRESS, default=0),
        memory_bytes=table.whole("memory_bytes", least=0, most=_ADDRESS, default=0),
        slot_bytes=table.whole("slot_bytes", least=0, most=_ADDRESS, default=0),
    )
    table.refuse_unknown()
    return facts


def _bridge(table: SpecReader) -> BridgeFacts:
    facts = BridgeFacts(
        baud=table.whole("baud", least=300, most=8_000_000, default=115_200),
        most_bytes=table.whole("most_bytes", least=64, most=65_536, default=1152),
    )
    table.refuse_unknown()
    return facts


def facts_of(document: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
    """The dotted keys of all facts in a board's document; what is not read from anywhere is no fact."""
    found: list[str] = []
    for key, value in document.items():
        dotted = f"{path}{key}"
        if dotted in ("sources", "recovery"):  # recovery is advice
            continue
        found += facts_of(value, f"{dotted}.") if isinstance(value, Mapping) else [dotted]
    return tuple(found)
