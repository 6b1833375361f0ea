"""CoAP servers that lie, dribble, never end or fall silent: each costs a bounded time and bounded bytes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiocoap
import pytest
from aiocoap.numbers.codes import Code

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, TooLargeError
from remotes.coap_transport import CoapTransport, open_coap_transport
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.coap_carriers import quick
from tests.remotes.hostile_coap import Hostile, Script, block, hostile_datagrams, hostile_stream

CHUNK = "chunk/" + "ab" * 32


def is_chunk(request: aiocoap.Message) -> bool:
    return "chunk" in request.opt.uri_path


def for_chunks(script: Script) -> Script:
    """The script for chunks; of a timestamp there is none."""
    numbers = itertools.count(1)

    def both(request: aiocoap.Message, _number: int) -> bytes | aiocoap.Message | None:
        return script(request, next(numbers)) if is_chunk(request) else aiocoap.Message(code=Code.NOT_FOUND)

    return both


@asynccontextmanager
async def asking(script: Script, over: str, **changes: Any) -> AsyncIterator[tuple[CoapTransport, Hostile]]:
    server = hostile_stream if over == "tcp" else hostile_datagrams
    async with (
        server(for_chunks(script)) as hostile,
        open_coap_transport(
            "demo", quick(hostile.port, over=over, answer_timeout_s=0.4, **changes)
        ) as reader,
    ):
        yield reader, hostile


def endless(request: aiocoap.Message, _number: int) -> aiocoap.Message:
    return block(request.opt.block2.block_number, more=True)


def always_new(request: aiocoap.Message, number: int) -> aiocoap.Message:
    return block(request.opt.block2.block_number, more=True, etag=bytes([number]))


def empty_blocks(request: aiocoap.Message, _number: int) -> aiocoap.Message:
    return block(request.opt.block2.block_number, more=True, size=0, exponent=7)


def another_block(request: aiocoap.Message, _number: int) -> aiocoap.Message:
    return block(request.opt.block2.block_number + 1, more=True)


def half_a_block(request: aiocoap.Message, _number: int) -> aiocoap.Message:
    return block(request.opt.block2.block_number, more=True, size=500)


def shrinking_to_sixteen_bytes(request: aiocoap.Message, _number: int) -> aiocoap.Message:
    offset = request.opt.block2.start
    return block(offset // 16, more=True, size=16, exponent=0)


def forbidden(*_: object) -> aiocoap.Message:
    return aiocoap.Message(code=Code.FORBIDDEN, payload=b"go away")


def broken(*_: object) -> aiocoap.Message:
    return aiocoap.Message(code=Code.INTERNAL_SERVER_ERROR)


def unasked_validity(*_: object) -> aiocoap.Message:
    return aiocoap.Message(code=Code.VALID)


@pytest.mark.parametrize("over", ["tcp", "udp"])
async def test_blocks_without_end_are_cut_at_the_bound(over: str) -> None:
    async with asking(endless, over) as (reader, hostile):
        with pytest.raises(TooLargeError, match="32769 bytes or more instead of 32768"):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)
        assert sum(map(is_chunk, hostile.requests)) == CHUNK_BYTES // 1024


async def test_tiny_blocks_without_end_are_cut_at_the_bound_too() -> None:
    async with asking(shrinking_to_sixteen_bytes, "tcp") as (reader, _):
        with pytest.raises(TooLargeError):
            await reader.fetch(CHUNK, most_bytes=1000)


async def test_a_file_that_says_it_is_larger_is_not_begun() -> None:
    async with asking(lambda *_: block(0, more=True, size2=10**9), "udp") as (reader, hostile):
        with pytest.raises(TooLargeError, match="1000000000 bytes"):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)
        assert sum(map(is_chunk, hostile.requests)) == 1


async def test_an_answer_without_blocks_that_is_too_long_is_refused() -> None:
    whole = aiocoap.Message(code=Code.CONTENT, payload=b"x" * 2000)
    async with asking(lambda *_: whole.copy(), "tcp") as (reader, _):
        with pytest.raises(TooLargeError):
            await reader.fetch(CHUNK, most_bytes=1000)


@pytest.mark.parametrize("over", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (always_new, "changes all the time"),
        (empty_blocks, "empty block"),
        (another_block, "bytes from 1024 instead of 0"),
        (half_a_block, "a block of 500 bytes"),
        (forbidden, "4.03 Forbidden"),
        (broken, "5.00"),
        (unasked_validity, "2.03"),
    ],
)
async def test_an_answer_against_the_protocol_is_told(over: str, script: Script, message: str) -> None:
    async with asking(script, over) as (reader, _):
        with pytest.raises(RemoteUnreachableError, match=message):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)


GARBAGE: dict[str, Script] = {
    "nothing": lambda *_: b"",
    "ones": lambda *_: b"\xff" * 50,
    "zeros": lambda *_: b"\x00" * 5000,
    "http": lambda *_: b"GET / HTTP/1.1\r\n\r\n",
    "four gigabytes announced": lambda *_: b"\xf0\xff\xff\xff\xff\x45",
    "an option past the end": lambda request, _: b"\x98\x45" + request.token + b"\xd1\x00" * 3,
    "silence": lambda *_: None,
}


@pytest.mark.parametrize("over", ["tcp", "udp"])
@pytest.mark.parametrize("script", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_and_silence_end_in_a_plain_error_in_time(over: str, script: Script) -> None:
    async with asking(script, over) as (reader, hostile):
        with pytest.raises(
            RemoteUnreachableError, match=rf"coap.*127.0.0.1:{hostile.port}/remote/demo: could"
        ):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)


async def test_one_byte_now_and_then_is_no_progress() -> None:
    async def dribble() -> None:
        await asyncio.sleep(0.05)

    script = for_chunks(lambda *_: block(0, more=False))
    async with (
        hostile_stream(script, dribble=dribble) as hostile,
        open_coap_transport("demo", quick(hostile.port, over="tcp", answer_timeout_s=0.5)) as reader,
    ):
        with pytest.raises(RemoteUnreachableError, match=r"no answer within 0\.5 s"):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)


async def test_a_slow_server_that_makes_progress_is_waited_for() -> None:
    async def dribble() -> None:
        await asyncio.sleep(0.001)

    script = for_chunks(lambda *_: block(0, more=False))
    async with (
        hostile_stream(script, dribble=dribble) as hostile,
        open_coap_transport("demo", quick(hostile.port, over="tcp", answer_timeout_s=0.7)) as reader,
    ):
        assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == b"x" * 1024


async def test_small_blocks_at_a_snails_pace_are_no_progress() -> None:
    async def pause() -> None:
        await asyncio.sleep(0.01)

    script = for_chunks(shrinking_to_sixteen_bytes)
    async with (
        hostile_stream(script, dribble=pause) as hostile,
        open_coap_transport(
            "demo", quick(hostile.port, over="tcp", answer_timeout_s=0.5, least_bytes_per_s=60)
        ) as reader,
    ):
        with pytest.raises(RemoteUnreachableError, match=r"fewer than 60 bytes a second"):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)


async def test_a_server_that_hangs_up_after_each_block_is_followed_from_block_to_block() -> None:
    def hang_up(request: aiocoap.Message, number: int) -> aiocoap.Message | None:
        asked = request.opt.block2.block_number
        return block(asked, more=asked < 3) if number % 2 else None

    async with asking(hang_up, "tcp") as (reader, hostile):
        assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == b"x" * 4096
        assert hostile.connections >= 4


async def test_a_server_that_only_hangs_up_is_left_after_the_second_time() -> None:
    async with asking(lambda *_: None, "tcp") as (reader, hostile):
        with pytest.raises(RemoteUnreachableError):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)
        assert sum(map(is_chunk, hostile.requests)) == 2


async def test_a_server_that_never_greets_is_given_up() -> None:
    async with (
        hostile_stream(lambda *_: block(0, more=False), greet=False) as hostile,
        open_coap_transport("demo", quick(hostile.port, over="tcp", answer_timeout_s=0.3)) as reader,
    ):
        with pytest.raises(RemoteUnreachableError):
            await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)


async def test_a_flood_of_notifications_melts_into_few_changes() -> None:
    def flood(request: aiocoap.Message, _number: int) -> bytes | aiocoap.Message:
        answers = []
        for number in range(500):
            answer = aiocoap.Message(code=Code.CONTENT, payload=b"%d" % number, observe=number)
            answer.token, answer.mid = request.token, number
            answers.append(answer)
        from aiocoap.transports.tcp import _serialize  # noqa: PLC0415

        return b"".join(_serialize(answer) for answer in answers)

    async with (
        hostile_stream(flood) as hostile,
        open_coap_transport("demo", quick(hostile.port, over="tcp")) as reader,
    ):
        changes = reader.changes()
        async with asyncio.timeout(30):
            await anext(changes)
        with pytest.raises(EdgehostError):
            await reader.fetch(TIMESTAMP, most_bytes=0)
