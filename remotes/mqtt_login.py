"""Whether a broker takes a login, tried once with a connection and a client id of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from remotes.mqtt_options import MqttOptions

#: What both versions of the protocol say of credentials (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2): the other will not help.
_SAYS_NO: Final = frozenset({4, 5, 0x86, 0x87, 0x8A, 0x8C})


async def login_refusal(options: MqttOptions) -> str:
    """Why the broker does not take CONNECT with these credentials, by MQTT 5 or 3.1.1; empty when it does.

    No will, no session, and a random client id: a host that is connected with the same settings stays connected.

    Raises:
        InvalidConfigError: a file that the options name cannot be used.
    """
    import aiomqtt  # noqa: PLC0415 - paho, for those who have a broker

    from remotes.mqtt_client import bounded_client, closed_after  # noqa: PLC0415 - as above

    tried = replace(options, client_id="", will_topic="")
    versions = {"5": ("5",), "3.1.1": ("3.1.1",)}.get(options.mqtt_version, ("5", "3.1.1"))
    refusal = ""
    for version in versions:
        protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
        client = await bounded_client(tried, protocol)
        try:
            async with asyncio.timeout(2 * options.connect_timeout_s), closed_after(client), client:
                return ""
        except (aiomqtt.MqttError, OSError, TimeoutError, ValueError) as problem:
            refusal = str(problem) or "no answer"
            code: Any = getattr(problem, "rc", None)
            if getattr(code, "value", code) in _SAYS_NO:
                break
    return refusal
