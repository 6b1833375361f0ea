"""The MQTT libraries, without what they would load beside them though nothing here asks for it.

paho-mqtt imports dnspython where that is installed, for looking brokers up by SRV records: 4 MB of a host's memory.
"""

from __future__ import annotations

import sys
from typing import Final

_UNUSED: Final = "dns"


def load_lean() -> None:
    """Import paho-mqtt; whoever wants dnspython later has it."""
    if _UNUSED in sys.modules or "paho.mqtt.client" in sys.modules:
        return
    sys.modules[_UNUSED] = None  # type: ignore[assignment]  # the import system's own way to say "not there"
    try:
        import paho.mqtt.client  # noqa: F401, PLC0415 - imported while dnspython is out of sight
    finally:
        del sys.modules[_UNUSED]
