"""uvicorn's WebSocket protocol, imported when the first client asks for one, and bounded where it is not."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final

#: What waits to be sent to a client that does not read, beside one message.
_MAX_UNSENT_BYTES: Final = 256 * 1024


def bounded_socket_protocol() -> Any:  # noqa: ANN401 - uvicorn wants a class and only ever calls it
    """What makes a protocol; nothing is imported until then, which saves an idle host 0.6 MB."""

    def make(**given: Any) -> asyncio.Protocol:  # noqa: ANN401 - uvicorn's own arguments
        protocol: asyncio.Protocol = _protocol()(**given)
        return protocol

    return make


@functools.cache
def _protocol() -> Any:  # noqa: ANN401 - a class that is made here
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol  # noqa: PLC0415 - see above

    class BoundedSocket(WSProtocol):
        def handle_ping(self, event: Any) -> None:  # noqa: ANN401 - wsproto's event
            if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
                self.transport.abort()
            else:
                super().handle_ping(event)

        def keepalive_timeout(self) -> None:
            super().keepalive_timeout()
            # What was not sent until now never will be, and closing would wait for it.
            self.transport.abort()

    return BoundedSocket
