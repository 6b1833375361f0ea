"""Which line leads to a board: only what leaves no doubt is chosen."""

from __future__ import annotations

import pytest

from boards.catalog import load_catalog
from edgehost.domain.errors import NoLineError
from edgehost.ports.device_line import FoundLine
from edgehost.usecases.choose_line import choose_line, guess

CATALOG = load_catalog()
UNO = FoundLine("/dev/ttyACM0", "Uno", "2341:0043", "A1", "1-1:1.0")
SECOND_UNO = FoundLine("/dev/ttyACM1", "Uno", "2341:0043", "A2", "1-2:1.0")
CH340 = FoundLine("/dev/ttyUSB0", "USB Serial", "1A86:7523")
BOOTING = FoundLine("/dev/ttyACM2", "", "2341:0036")
PICO = FoundLine("/dev/ttyACM3", "Pico", "2E8A:000A")
PLAIN = FoundLine("/dev/ttyS0")
STRANGE = FoundLine("/dev/ttyACM9", "", "FFFF:0001")


def chosen(board: str, *found: FoundLine, wanted: str = "") -> str:
    return choose_line(CATALOG.get(board), found, CATALOG, wanted)


def test_the_only_line_with_the_boards_id_is_chosen() -> None:
    assert chosen("uno", PLAIN, CH340, UNO) == "/dev/ttyACM0"
    assert chosen("leonardo", BOOTING) == "/dev/ttyACM2"
    assert chosen("nano", UNO, CH340) == "/dev/ttyUSB0"


def test_several_are_listed_and_none_is_chosen() -> None:
    with pytest.raises(NoLineError, match="2 lines may lead to 'uno': /dev/ttyACM0") as several:
        chosen("uno", UNO, SECOND_UNO)
    assert "--line id:A1 or --line id:A2" in several.value.hint


def test_a_serial_number_tells_two_of_a_kind_apart() -> None:
    assert chosen("uno", UNO, SECOND_UNO, wanted="id:A2") == "/dev/ttyACM1"
    with pytest.raises(NoLineError, match="A3") as absent:
        chosen("uno", UNO, SECOND_UNO, wanted="id:A3")
    assert "id:A1 (/dev/ttyACM0)" in absent.value.hint


def test_none_says_what_is_there_and_what_to_do() -> None:
    with pytest.raises(NoLineError, match="Lines that are there: /dev/ttyS0, /dev/ttyUSB0") as none:
        chosen("uno", PLAIN, CH340)
    assert "cable that carries data" in none.value.hint
    with pytest.raises(NoLineError, match="No serial line is there at all"):
        chosen("uno")
    with pytest.raises(NoLineError, match="emulator"):
        chosen("sim-m328p", UNO)


def test_a_named_line_is_taken_as_it_is() -> None:
    assert chosen("uno", wanted="socket://127.0.0.1:4000") == "socket://127.0.0.1:4000"
    assert chosen("pico", wanted="") == "", "a drive is found by whoever writes to it"
    assert chosen("pico", UNO, PICO) == PICO.path, "the firmware that runs is told to show the drive"
    assert chosen("nucleo-f401re", UNO, wanted="id:0670FF") == "id:0670FF", "of a probe"


@pytest.mark.parametrize(
    ("line", "board", "why"),
    [
        (UNO, "uno", "its USB id"),
        (BOOTING, "leonardo", "bootloader"),
        (CH340, "nano", "USB-serial chip on many boards"),
        (PLAIN, "", "no USB device"),
        (STRANGE, "", "no board that is known here"),
    ],
)
def test_a_guess_says_why(line: FoundLine, board: str, why: str) -> None:
    guessed = guess(line, CATALOG)
    assert why in guessed.why
    assert (not board and not guessed.boards) or board in [each.id for each in guessed.boards]
    assert guessed.document()["line"] == line.path
