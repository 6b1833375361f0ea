"""[devices.NAME]: the microcontrollers that this host bridges."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_settings import Number, Text, Whole, read_settings
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader

_LINE: Final = worded(
    r"/[\x21-\x7e]{1,253}|(socket|rfc2217)://[\x21-\x7e]{1,253}|id:[\x21-\x7e]{1,128}",
    "a line: /dev/NAME, socket://HOST:PORT, rfc2217://HOST:PORT or id:SERIAL of a USB device",
)
_LINE_OR_NONE: Final = worded(rf"|{_LINE.pattern}", "empty, or a line as above, or a drive's folder")
_NAME_OR_NONE: Final = worded(rf"|{NAME.pattern}", "a name, or empty")
#: Each has a task, a descriptor and a queue; a machine with more lines than this is no edge host.
_MOST_DEVICES: Final = 64


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """[devices.NAME]: one device with the reference firmware; its commands, telemetry and components are this host's."""

    line: Annotated[str, Text("/dev/ttyACM0, socket://HOST:PORT, or id:SERIAL of a USB device", _LINE)]
    board: Annotated[
        str, Text("what board it is; another that answers is left alone; empty: any", _NAME_OR_NONE)
    ] = ""
    baud: Annotated[int, Whole("0: as the board's file says, else 115200", 0, 12_000_000)] = 0
    fast_baud: Annotated[
        int,
        Whole("rate that is agreed on once the device answers, if both carry it; 0: none", 0, 12_000_000),
    ] = 0
    interval_ms: Annotated[int, Whole("between two telemetries of the device", 50, 3_600_000)] = 1000
    silence_s: Annotated[
        float, Number("without a word it is asked for one, and is offline after twice as long", 0.5, 3600)
    ] = 5.0
    flash_line: Annotated[
        str,
        Text(
            "over which line, or drive, its firmware is written; empty: the line, or the drive that it shows",
            _LINE_OR_NONE,
        ),
    ] = ""
    back_within_s: Annotated[
        float, Number("after a flash it must have answered, or the image before is brought back", 1, 3600)
    ] = 60.0
    model: Annotated[
        str,
        Text(
            "model whose records its telemetry becomes, with its name as the member device; empty: events only",
            _NAME_OR_NONE,
        ),
    ] = ""
    keep: Annotated[int, Whole("records of its telemetry; the oldest go", 1, 100_000)] = 1000
    record_every_s: Annotated[float, Number("at most one record in so long; disks wear out", 0, 86_400)] = (
        60.0
    )


def read_devices(table: SpecReader, folder: Path) -> Mapping[str, DeviceSettings]:
    """The devices by name.

    Raises:
        RefusedError: a key is wrong, two are on one line, or there are too many.
    """
    devices: dict[str, DeviceSettings] = {}
    lines: dict[str, str] = {}
    for each in table.tables(pattern=NAME):
        settings = devices[each.name] = read_settings(DeviceSettings, each, folder)
        each.refuse_unknown()
        other = lines.setdefault(settings.line, each.name)
        if other != each.name:
            raise InvalidConfigError(
                f"devices.{each.name}.line is {settings.line}, which is the line of devices.{other}.",
                hint="One line leads to one device.",
            )
    if len(devices) > _MOST_DEVICES:
        raise InvalidConfigError(f"There are {len(devices)} devices; {_MOST_DEVICES} are possible.")
    return types.MappingProxyType(devices)
