"""[devices.NAME]: over which line a device is bridged, and over which it is flashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.config import load_config
from edgehost.config_devices import DeviceSettings
from edgehost.domain.errors import InvalidConfigError
from edgehost.usecases.flash_site import flash_line

HEAD = '[host]\nname = "gate"\ndata = "data"\n[devices.lamp]\nline = "/dev/ttyACM0"\n'
CATALOG = load_catalog()


def settings(folder: Path, more: str = "") -> DeviceSettings:
    file = folder / "edgehost.toml"
    file.write_text(HEAD + more)
    return load_config(file).devices["lamp"]


def test_a_device_is_flashed_over_its_line_unless_another_is_named(tmp_path: Path) -> None:
    assert (settings(tmp_path).flash_line, settings(tmp_path).back_within_s) == ("", 60)
    for line in ("/dev/ttyUSB1", "/media/someone/RPI-RP2", "id:1234", "rfc2217://bench:4000"):
        assert settings(tmp_path, f'flash_line = "{line}"\n').flash_line == line


@pytest.mark.parametrize(
    "more", ['flash_line = "ttyUSB1"\n', "back_within_s = 0\n", "back_within_s = 7200\n"]
)
def test_what_is_no_line_or_no_time_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(InvalidConfigError, match=more.partition(" ")[0]):
        settings(tmp_path, more)


@pytest.mark.parametrize(
    ("board", "own", "line"),
    [
        ("uno", "", "/dev/ttyACM0"),  # a bootloader on the line
        ("feather-m0", "", "/dev/ttyACM0"),  # the line is touched, and the drive appears
        ("sim-rp2040", "", ""),  # a drive: the only one that is there
        ("pico", "/media/RPI-RP2", "/media/RPI-RP2"),
        ("nucleo-f401re", "", ""),  # a probe
        ("uno", "/dev/ttyUSB1", "/dev/ttyUSB1"),
    ],
)
def test_the_line_follows_from_how_the_board_is_flashed(board: str, own: str, line: str) -> None:
    assert flash_line(CATALOG.get(board), "/dev/ttyACM0", own) == line
