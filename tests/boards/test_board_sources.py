"""What boards' files say that Arduino's boards.txt says, it does say: the package of Debian is read again."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

import boards
from tests.required_tools import require_tool

FOLDER: Final = Path(boards.__file__).parent
BOARDS_TXT: Final = Path("/usr/share/arduino/hardware/arduino/avr/boards.txt")
_KEY: Final = re.compile(
    r"Debian arduino-core-avr \S+: boards\.txt, (?P<key>\S+?)(?P<ids>\.vid and pid)?(?: \(.*)?$"
)
#: What Arduino calls the protocols.
_PROTOCOLS: Final = {"arduino": "stk500v1", "wiring": "stk500v2", "avr109": "avr109"}
#: Chip, clock, RAM, protocol, baud, size at the least.
_FEWEST: Final = 6
FROM_IT: Final = {
    file.stem: document
    for file in sorted(FOLDER.glob("*.toml"))
    if "boards.txt" in str((document := tomllib.loads(file.read_text()))["sources"])
    and not file.stem.startswith("sim-")
}


_CHOICE: Final = re.compile(r"\.menu\.cpu\.[^.]+")


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    if not BOARDS_TXT.exists():
        require_tool(f"{BOARDS_TXT.name} (arduino-core-avr)")
    lines = BOARDS_TXT.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def looked_up(said: dict[str, str], key: str) -> str:
    """A value; what a choice of a menu does not say, its board does."""
    return said.get(key) or said.get(_CHOICE.sub("", key), "")


def value_of(document: dict[str, Any], fact: str) -> Any:
    """A fact by its dotted name."""
    table, _, name = fact.rpartition(".")
    return (document[table] if table else document)[name]


@pytest.mark.parametrize("board", FROM_IT)
def test_what_is_said_to_be_in_boards_txt_is_there(board: str, said: dict[str, str]) -> None:
    document, seen = FROM_IT[board], 0
    ids: set[str] = set()
    named: set[str] = set()
    for fact, source in document["sources"].items():
        if (found := _KEY.match(source)) is None:
            continue
        key, value = found["key"], value_of(document, fact)
        if found["ids"]:
            ids |= set(value)
            named |= {
                f"{vendor[2:]}:{looked_up(said, f'{key}.pid.{number}')[2:]}".upper()
                for number in range(8)
                if (vendor := looked_up(said, f"{key}.vid.{number}"))
            }
        elif fact == "flash.protocol":
            assert value == _PROTOCOLS[looked_up(said, key)]
        elif fact == "mcu":
            assert value == looked_up(said, f"{key}.build.mcu")
        elif fact == "flash.reset":
            assert (value == "touch1200") == (looked_up(said, key) == "true")
        elif isinstance(value, int):
            assert value == int(looked_up(said, key).rstrip("L")), fact
        seen += 1
    assert ids == named
    assert seen >= _FEWEST
