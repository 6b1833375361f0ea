"""The MQTT libraries, without what they would load beside them though nothing here asks for it.

paho-mqtt imports dnspython where that is installed, for looking brokers up by SRV records: 4 MB of a host's memory.
It imports urllib.request, and with it HTTP and MIME, for the proxies of SOCKS: 1 MB. And uuid, for
clients without an id: 0.1 MB.
"""

from __future__ import annotations

import sys
import urllib.parse  # noqa: F401 - the stand-in needs its package
from typing import Final

from remotes.late_modules import late_module

_UNUSED: Final = "dns"


def load_lean() -> None:
    """Import paho-mqtt; whoever wants dnspython later has it."""
    if _UNUSED in sys.modules or "paho.mqtt.client" in sys.modules:
        return
    sys.modules[_UNUSED] = None  # type: ignore[assignment]  # the import system's own way to say "not there"
    try:
        with late_module("urllib.request"), late_module("uuid"):
            import paho.mqtt.client  # noqa: F401, PLC0415 - imported while they are out of sight
    finally:
        del sys.modules[_UNUSED]
