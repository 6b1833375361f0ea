"""What a remote's table says of the line, ``kib_per_s`` and ``parallel``, holds in its transfers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edgehost.composition.remotes import open_remote
from edgehost.config import read_config
from remotes.folder_transport import open_folder_transport
from remotes.pace import Pace
from remotes.remote import TrustedRemote
from tests.remotes.workshop import component_bytes, furnished_workshop

RATE_KIB_S = 100
CHUNKS, CHUNK = 10, 32 * 1024


class Watched:
    """A remote's files, and how many of them are asked for at once."""

    def __init__(self, remote: TrustedRemote) -> None:
        self._fetch = remote._content._fetch_file
        self.now = 0
        self.most = 0
        remote._content._fetch_file = self.fetch

    async def fetch(self, path: str, most_bytes: int) -> bytes | None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._fetch(path, most_bytes)
        finally:
            self.now -= 1


async def test_a_transfer_takes_no_more_of_the_line_than_the_table_says(tmp_path: Path) -> None:
    shop = furnished_workshop().copied(tmp_path / "repository")
    shop.now += 1
    shop.publish("1.0.0", name="greeter", content=component_bytes(CHUNKS * CHUNK, "1"))
    (tmp_path / "mirror").mkdir()
    async with AsyncExitStack() as stack:
        await shop.mirror(await stack.enter_async_context(open_folder_transport(tmp_path / "mirror")))
        table = {"name": "demo", "transport": "folder", "path": "mirror", "root": str(shop.root_file)}
        bounds = {"kib_per_s": RATE_KIB_S, "parallel": 2}
        config = read_config({"host": {"trust_clock": False}, "remotes": [table | bounds]}, folder=tmp_path)
        remote = await open_remote(config, config.remotes[0], stack)
        assert isinstance(remote, TrustedRemote)
        moment = 0.0

        async def sleep(seconds: float) -> None:
            nonlocal moment
            moment += seconds

        configured = remote._content._pace
        remote._content._pace = Pace(configured._rate, now=lambda: moment, sleep=sleep)
        watched = Watched(remote)
        (offer,) = [each for each in await remote.refresh() if each.component == "greeter"]
        assert len(await remote.fetch(offer)) == offer.size_bytes == CHUNKS * CHUNK
    assert watched.most == 2
    # The first of each of the two is asked for at once, and the last is paid for by whoever comes next.
    assert moment == pytest.approx((CHUNKS - 1) * CHUNK / (RATE_KIB_S * 1024), rel=0.2)
