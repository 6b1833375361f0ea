"""CoAP servers that follow a script instead of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import aiocoap
from aiocoap.numbers.codes import CSM, Code
from aiocoap.numbers.types import ACK
from aiocoap.transports.tcp import _decode_message, _extract_message_size, _serialize

#: The request and its number -> bytes to send; None ends the connection.
Script = Callable[[aiocoap.Message, int], bytes | aiocoap.Message | None]


@dataclass
class Hostile:
    """A server that was asked ``requests`` times over ``connections`` connections."""

    port: int = 0
    requests: list[aiocoap.Message] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def hostile_stream(
    script: Script, *, greet: bool = True, dribble: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[Hostile]:
    """A script behind TCP; with ``dribble`` it waits so after each byte."""
    hostile = Hostile()
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hostile.connections += 1
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        if greet:
            writer.write(_serialize(aiocoap.Message(code=CSM)))
        spool = b""
        try:
            while data := await reader.read(65_536):
                spool += data
                while (parts := _extract_message_size(spool)) and sum(parts) <= len(spool):
                    request = _decode_message(spool[: sum(parts)])
                    spool = spool[sum(parts) :]
                    if not request.code.is_request():
                        continue
                    hostile.requests.append(request)
                    answer = script(request, len(hostile.requests))
                    if answer is None:
                        return
                    await _send(writer, answer, request, dribble)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hostile.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield hostile
        finally:
            for each in handlers:
                each.cancel()
            if handlers:
                await asyncio.wait(handlers)


async def _send(
    writer: asyncio.StreamWriter,
    answer: bytes | aiocoap.Message,
    request: aiocoap.Message,
    dribble: Callable[[], Awaitable[None]] | None,
) -> None:
    if isinstance(answer, aiocoap.Message):
        answer.token = request.token
        answer = _serialize(answer)
    if dribble is None:
        writer.write(answer)
        return
    for byte in answer:
        writer.write(bytes([byte]))
        await dribble()


@asynccontextmanager
async def hostile_datagrams(script: Script) -> AsyncIterator[Hostile]:
    """A script behind UDP; None is silence."""
    hostile = Hostile()

    class Protocol(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            request = aiocoap.Message.decode(data)
            if not request.code.is_request():
                return
            hostile.requests.append(request)
            answer = script(request, len(hostile.requests))
            if isinstance(answer, aiocoap.Message):
                answer.token, answer.mid, answer.mtype = request.token, request.mid, ACK
                answer = answer.encode()
            if answer is not None:
                self.transport.sendto(answer, address)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", 0)
    )
    hostile.port = transport.get_extra_info("sockname")[1]
    try:
        yield hostile
    finally:
        transport.close()


def block(
    number: int, *, more: bool, size: int = 1024, etag: bytes = b"e", exponent: int = 6, **options: object
) -> aiocoap.Message:
    """One block of something."""
    answer = aiocoap.Message(code=Code.CONTENT, payload=b"x" * size, etag=etag, **options)
    answer.opt.block2 = (number, more, exponent)
    return answer
