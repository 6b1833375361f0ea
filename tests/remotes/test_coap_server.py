"""Our CoAP server: libcoap's clients read from it, and what strangers send costs it little."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
from dataclasses import replace
from pathlib import Path

import aiocoap
import pytest
from aiocoap.numbers.codes import CSM, Code
from aiocoap.transports.tcp import _decode_message, _extract_message_size, _serialize

from edgehost.domain.errors import UnavailableError
from remotes.coap_server import open_coap_server
from remotes.served_repository import open_served_folder
from remotes.transport import TIMESTAMP
from tests.remotes.coap_carriers import LOOPBACK, open_served, port_of, write_certificates
from tests.required_tools import require_tool

CHUNK = "chunk/" + "ab" * 32
CONTENT = random.Random("coap").randbytes(32_768)  # noqa: S311 - must be the same


async def libcoap(*words: str, tool: str = "coap-client-notls", wait_s: int = 5) -> tuple[bytes, str]:
    """What libcoap's client prints, and says of errors."""
    process = await asyncio.create_subprocess_exec(
        require_tool(tool),
        "-B",
        str(wait_s),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return output, errors.decode()


@pytest.mark.parametrize("block", ["16", "64", "1024"])
async def test_libcoaps_client_fetches_block_by_block_over_udp(block: str, tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(CHUNK, CONTENT[:5000] if block == "16" else CONTENT)
        file = tmp_path / "got"
        await libcoap("-b", block, "-o", str(file), f"{served.udp}/remote/demo/{CHUNK}")
        assert file.read_bytes() == (CONTENT[:5000] if block == "16" else CONTENT)


async def test_libcoaps_client_fetches_over_tcp_and_finds_what_there_is(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(CHUNK, CONTENT)
        await publisher.publish(TIMESTAMP, b'{"signed": 1}')
        file = tmp_path / "got"
        await libcoap("-o", str(file), f"{served.tcp}/remote/demo/{CHUNK}")
        assert file.read_bytes() == CONTENT
        for base in (served.udp, served.tcp):
            output, _ = await libcoap(f"{base}/remote/demo/{TIMESTAMP}")
            assert output.strip() == b'{"signed": 1}'
            output, _ = await libcoap(f"{base}/.well-known/core")
            assert output.strip() == b'</remote/demo/metadata/timestamp.json>;rt="edgehost.remote";ct=50;obs'


async def test_libcoaps_client_hears_of_each_new_timestamp(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(TIMESTAMP, b"first ")
        process = await asyncio.create_subprocess_exec(
            require_tool("coap-client-notls"),
            "-s",
            "20",
            "-w",
            f"{served.udp}/remote/demo/{TIMESTAMP}",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(30):
                before = b"first \n"
                assert await process.stdout.readline() == before
                for news in (b"second\n", b"third \n"):
                    await publisher.publish(TIMESTAMP, news.strip(b"\n"))
                    # A server may tell the same state twice: a folder that is looked at late is no news, but looks so.
                    while (heard := await process.stdout.readline()) == before:
                        continue
                    assert heard == news
                    before = news
        finally:
            process.terminate()
            await process.communicate()  # to its end, or the pipe stays open


async def test_libcoaps_client_fetches_over_tls_with_its_certificate(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    serving = replace(
        LOOPBACK,
        cert_file=tmp_path / "server.pem",
        key_file=tmp_path / "server.key",
        client_ca_file=tmp_path / "ca.pem",
    )
    async with open_served(tmp_path / "mirror", serving) as (publisher, served):
        await publisher.publish(CHUNK, CONTENT)
        file = tmp_path / "got"
        credentials = ["-C", "ca.pem", "-c", "client.pem", "-j", "client.key"]
        paths = [word if word.startswith("-") else str(tmp_path / word) for word in credentials]
        await libcoap(
            *paths, "-o", str(file), f"{served.tls}/remote/demo/{CHUNK}", tool="coap-client-openssl"
        )
        assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_only_reading_of_what_is_there_is_answered(scheme: str, tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        (tmp_path / "mirror/secret").write_bytes(b"no")
        base = served.udp if scheme == "udp" else served.tcp
        timestamp = f"remote/demo/{TIMESTAMP}"
        for method, path, answer in (
            ("put", timestamp, "4.05"),
            ("post", timestamp, "4.05"),
            ("delete", timestamp, "4.05"),
            ("get", "remote/other/metadata/timestamp.json", "4.04"),
            ("get", "remote/demo/metadata/%2e%2e%2fsecret", "4.04"),
            ("get", "remote/demo/secret", "4.04"),
            ("get", "", "4.04"),
            ("get", f"{timestamp}/more", "4.04"),
            ("get", "remote/demo/chunk/" + "cd" * 32, "4.04"),
        ):
            output, errors = await libcoap("-m", method, f"{base}/{path}")
            assert answer in output.decode() + errors, (method, path)
        assert (tmp_path / TIMESTAMP).exists() is False
        assert (tmp_path / "mirror" / TIMESTAMP).read_bytes() == b"one"


def request(path: str, token: bytes, **options: object) -> bytes:
    message = aiocoap.Message(code=Code.GET, uri_path=("remote", "demo", *path.split("/")), **options)
    message.token = token
    return bytes(_serialize(message))


async def answer_from(reader: asyncio.StreamReader) -> aiocoap.Message:
    """The next message."""
    spool = b""
    while not (parts := _extract_message_size(spool)) or sum(parts) > len(spool):
        spool += await reader.readexactly(1)
    return _decode_message(spool)


GREETING = bytes(_serialize(aiocoap.Message(code=CSM)))


async def test_unknown_critical_options_and_blocks_past_the_end_are_refused(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        context = await aiocoap.Context.create_client_context(transports=["udp6", "tcpclient"])
        try:
            for base in (served.udp, served.tcp):
                for change, code in (
                    ({"if_match": [b"x"]}, Code.BAD_OPTION),
                    ({"proxy_uri": "coap://example.org/"}, Code.BAD_OPTION),
                    ({"oscore": b"\x09\x00"}, Code.BAD_OPTION),
                    ({"block2": (9, False, 6)}, Code.BAD_REQUEST),
                    ({"etags": [bytes(8)]}, Code.CONTENT),
                ):
                    message = aiocoap.Message(code=Code.GET, uri=f"{base}/remote/demo/{TIMESTAMP}")
                    for name, value in change.items():
                        setattr(message.opt, name, value)
                    answer = await context.request(message, handle_blockwise=False).response
                    assert answer.code is code, (base, change)
                etag = hashlib.sha256(b"one").digest()[:8]
                message = aiocoap.Message(code=Code.GET, uri=f"{base}/remote/demo/{TIMESTAMP}", etags=[etag])
                assert (await context.request(message).response).code is Code.VALID
        finally:
            await context.shutdown()


async def test_garbage_ends_one_connection_and_nothing_else(tmp_path: Path) -> None:
    noise = random.Random("noise")  # noqa: S311 - must be the same
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        for _ in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served.tcp))
            writer.write(GREETING * noise.randrange(2) + noise.randbytes(noise.randrange(1, 3000)))
            writer.write_eof()
            await reader.read()
            writer.close()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(500):
                head = bytes([0x40 | noise.randrange(9), noise.randrange(256)])
                sock.sendto(
                    head * noise.randrange(2) + noise.randbytes(noise.randrange(1, 300)),
                    ("127.0.0.1", port_of(served.udp)),
                )
        for base in (served.udp, served.tcp):
            output, _ = await libcoap(f"{base}/remote/demo/{TIMESTAMP}")
            assert output.strip() == b"one"


async def test_who_asks_without_reading_is_cut_and_who_announces_too_much_too(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(CHUNK, CONTENT)
        port = port_of(served.tcp)
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greeting = aiocoap.Message(code=CSM)
        greeting.opt.add_option(aiocoap.optiontypes.UintOption(2, 2**20))
        greeting.opt.add_option(aiocoap.optiontypes.UintOption(4, 0))
        with sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, _serialize(greeting))
            sent = 0
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    while sent < 100_000:
                        await loop.sock_sendall(sock, request(CHUNK, sent.to_bytes(4, "big")))
                        sent += 1
            assert sent < 100_000
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GREETING + b"\xf0\xff\xff\xff\xff\x01")
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()


async def test_connections_observers_and_requests_have_a_bound(tmp_path: Path) -> None:
    serving = replace(LOOPBACK, most_connections=3, most_observers=5)
    async with open_served(tmp_path / "mirror", serving) as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        port = port_of(served.tcp)
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, _ in pairs:
            await answer_from(reader)  # the server's greeting: it has been taken
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            accepted = 0
            for reader, writer in pairs:
                writer.write(GREETING)
                for number in range(5):
                    writer.write(request(TIMESTAMP, b"%d" % number, observe=0))
                answers = [await answer_from(reader) for _ in range(5)]
                accepted += sum(answer.opt.observe is not None for answer in answers)
            assert accepted == 5  # four of the first, one of the second
        for _, writer in pairs:
            writer.close()


async def test_a_connection_on_which_nothing_comes_is_closed(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror", replace(LOOPBACK, idle_timeout_s=0.05)) as (_, served):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served.tcp))
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()


async def test_a_port_that_is_taken_is_a_plain_error(tmp_path: Path) -> None:
    async with open_served(tmp_path / "mirror") as (_, served), open_served_folder(tmp_path) as folder:
        again = replace(LOOPBACK, port=port_of(served.tcp))
        with pytest.raises(UnavailableError, match=r"cannot listen at 127\.0\.0\.1"):
            async with open_coap_server({"demo": folder}, again):
                pass
