"""aiocoap's datagrams with bounds: one that cannot be read harms no other, and no answers are kept.

The library's own keep every answer of four minutes for retransmissions.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

import aiocoap
from aiocoap.messagemanager import MessageManager
from aiocoap.pipe import Pipe, error_to_message
from aiocoap.tokenmanager import TokenManager
from aiocoap.transports.udp6 import MessageInterfaceUDP6

_LOG: Final = logging.getLogger(__name__)


class _CarefulSocket(MessageInterfaceUDP6):  # type: ignore[misc]
    """Datagrams; one that cannot be read harms no other."""

    def datagram_msg_received(self, data: bytes, *words: object) -> None:
        """See aiocoap."""
        try:
            super().datagram_msg_received(data, *words)
        except Exception as error:  # noqa: BLE001 - the parser's reaction to odd bytes is not specified
            _LOG.info("CoAP datagram dropped: %r", error)

    def send(self, message: aiocoap.Message) -> None:
        """See aiocoap, whose timers outlive the socket."""
        if self._shutting_down is None:
            super().send(message)


class _ForgetfulMessages(MessageManager):  # type: ignore[misc]
    """Answers a retransmitted request again instead of keeping answers: all of them are idempotent (RFC 7252 4.5)."""

    def _deduplicate_message(self, _message: aiocoap.Message) -> bool:
        return False

    def _store_response_for_duplicates(self, _message: aiocoap.Message) -> None:
        return


class ServerContext(aiocoap.Context):  # type: ignore[misc]
    """Answers each request in a task; the library's own leaves a coroutine behind when it ends before it began."""

    def render_to_pipe(self, pipe: Pipe) -> None:
        """See aiocoap."""
        answers = error_to_message(pipe, self.log)
        task = asyncio.create_task(self._render(answers), name="edgehost.coap.request")
        answers.on_interest_end(task.cancel)

    async def _render(self, answers: Pipe) -> None:
        try:
            await self.serversite.render_to_pipe(answers)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answers.add_exception(error)


async def add_datagrams(context: aiocoap.Context, sock: socket.socket) -> None:
    """Let the context speak by this socket, which belongs to it from here on."""
    tokens = TokenManager(context)
    messages = _ForgetfulMessages(tokens)
    creating = asyncio.create_task(
        _CarefulSocket._create_transport_endpoint(  # noqa: SLF001 - the public way binds carelessly
            sock, messages, context.log, context.loop
        ),
        name="edgehost.coap.socket",
    )
    try:
        interface = await asyncio.shield(creating)
    except asyncio.CancelledError:
        # Some turns of the loop and no network; a socket that is half made would never be closed.
        await (await creating).shutdown()
        raise
    messages.message_interface = interface
    tokens.token_interface = messages
    context.request_interfaces.append(tokens)
