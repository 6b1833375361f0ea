"""The amqtt broker as a process of its own: ``python -m edgehost.adapters.broker.amqtt_process PORT``."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

from amqtt.broker import Broker


class SteadySubscriptions(dict[str, Any]):
    """Subscriptions that may change while they are gone through.

    amqtt awaits between two of them; whoever subscribed or left meanwhile cost another client its connection, or a
    message its receivers.
    """

    def __iter__(self) -> Iterator[str]:
        """The filters of this moment."""
        return iter(list(super().keys()))

    def items(self) -> list[tuple[str, Any]]:  # type: ignore[override]
        """The filters of this moment and who subscribed to them; a list is all that amqtt needs."""
        return list(super().items())


async def serve(tcp_port: int) -> None:
    """Serve on loopback until standard input ends or the process is told to stop."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{tcp_port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    broker._subscriptions = SteadySubscriptions()  # noqa: SLF001 - it has no other place for them
    await broker.start()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
