"""Git repositories on forges: one commit at a time, private ones with a token, and few requests."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.domain.errors import RemoteUnreachableError
from remotes.folder_transport import FolderTransport
from remotes.http_client import open_http_client
from remotes.http_options import HttpOptions
from remotes.transport import TIMESTAMP
from remotes.tree_transport import Tree, TreeTransport, open_tree_transport
from tests.remotes.forge_server import TOKEN, FakeForge, open_forge
from tests.remotes.web_carriers import QUICK

CHUNK = "chunk/" + "ab" * 32
NEVER = 3600.0


@asynccontextmanager
async def open_tree(
    folder: Path, kind: str = "github", *, token: str = "", options: HttpOptions = QUICK, ref: str = "main"
) -> AsyncIterator[tuple[FakeForge, FolderTransport, TreeTransport]]:
    publisher = FolderTransport(folder)
    await publisher.publish(CHUNK, b"content")
    await publisher.publish(TIMESTAMP, b"one")
    async with open_forge(folder, kind, token) as forge:
        tree = Tree("team", "things", ref=ref, folder="dist", forge=kind, api=forge.server.url)
        async with open_tree_transport(tree, options, look_s=NEVER) as transport:
            yield forge, publisher, transport


@pytest.mark.parametrize("kind", ["github", "gitea", "gitlab"])
async def test_each_forge_is_asked_as_it_is_documented(kind: str, tmp_path: Path) -> None:
    async with open_tree(tmp_path / "clone", kind) as (forge, publisher, transport):
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
        assert await transport.fetch(CHUNK, most_bytes=10) == b"content"
        assert await transport.fetch("metadata/2.root.json", most_bytes=10) is None
        await publisher.publish(TIMESTAMP, b"two")
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"two"
        assert {asked.line.split()[0] for asked in forge.server.asked} == {"GET"}


async def test_a_push_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    async with open_tree(tmp_path / "clone") as (_, publisher, transport):
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
        await publisher.publish("metadata/2.root.json", b"new")
        assert await transport.fetch("metadata/2.root.json", most_bytes=10) is None  # not of this commit
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
        assert await transport.fetch("metadata/2.root.json", most_bytes=10) == b"new"


async def test_a_poll_of_a_quiet_repository_is_one_request_that_does_not_count(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    options = dataclasses.replace(QUICK, token_file=token)
    async with open_tree(tmp_path / "clone", token=TOKEN, options=options) as (forge, _, transport):
        for _ in range(5):
            assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
            assert await transport.fetch("metadata/2.root.json", most_bytes=10) is None
        assert len(forge.server.asked) == 3 + 4
        assert forge.counted == 3
        assert TOKEN not in transport.address


async def test_a_used_up_limit_is_waited_for_by_the_forges_own_clock(tmp_path: Path) -> None:
    async with open_tree(tmp_path / "clone") as (forge, _, transport):
        forge.limit = 2
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
        with pytest.raises(RemoteUnreachableError, match=r"left alone for 600 s.*token_file"):
            await transport.fetch(CHUNK, most_bytes=10)
        asked = len(forge.server.asked)
        with pytest.raises(RemoteUnreachableError, match="left alone for another"):
            await transport.fetch(TIMESTAMP, most_bytes=10)
        assert len(forge.server.asked) == asked
        assert not transport.connected


async def test_a_private_repository_without_a_token_and_a_misspelt_branch_say_what_to_check(
    tmp_path: Path,
) -> None:
    async with open_tree(tmp_path / "clone", token=TOKEN) as (_, _, transport):
        with pytest.raises(RemoteUnreachableError, match="a private repository needs a token_file"):
            await transport.fetch(TIMESTAMP, most_bytes=10)
    async with open_tree(tmp_path / "clone", ref="mian") as (_, _, transport):
        with pytest.raises(RemoteUnreachableError, match="There is no 'mian'"):
            await transport.fetch(TIMESTAMP, most_bytes=10)


async def test_public_files_come_from_the_raw_server_and_spare_the_limit(tmp_path: Path) -> None:
    async with (
        open_tree(tmp_path / "clone") as (forge, _, _),
        open_http_client(forge.server.url, QUICK) as api,
        open_http_client(forge.server.url, QUICK) as raw,
    ):
        tree = Tree("team", "things", folder="dist", api=forge.server.url)
        raw_url = forge.server.url + "/raw/{owner}/{repo}/{commit}/{path}"
        transport = TreeTransport(tree, api, raw=(raw, raw_url))
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
        assert await transport.fetch(CHUNK, most_bytes=10) == b"content"
        assert forge.counted == 1


async def test_a_push_is_news_and_a_quiet_look_is_not(tmp_path: Path) -> None:
    looks = asyncio.Semaphore(0)
    folder = tmp_path / "clone"
    publisher = FolderTransport(folder)
    await publisher.publish(TIMESTAMP, b"one")
    async with open_forge(folder) as forge:
        tree = Tree("team", "things", folder="dist", api=forge.server.url)

        async def pause() -> None:
            await looks.acquire()

        async with open_tree_transport(tree, QUICK, pause=pause) as transport:
            assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"one"
            changes = transport.changes()
            looks.release()
            await publisher.publish(TIMESTAMP, b"two")
            looks.release()
            async with asyncio.timeout(30):
                await anext(changes)
