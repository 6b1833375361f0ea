"""Mirroring: everything once, the timestamp last, nothing that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.domain.errors import DamagedError, RemoteUnreachableError, UntrustedReleaseError
from remotes.folder_transport import open_folder_transport
from remotes.mirror import mirror_repository
from remotes.publisher import refresh_metadata
from remotes.root_ceremony import rotate_root
from remotes.transport import TIMESTAMP
from tests.remotes.publishing_scene import check
from tests.remotes.workshop import DAY, NOW, Workshop, component_bytes


async def test_a_second_mirror_gets_everything_and_a_current_one_nothing(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    async with open_folder_transport(tmp_path / "one") as one, open_folder_transport(tmp_path / "two") as two:
        for place in ("one", "two"):
            (tmp_path / place).mkdir()
        steps: list[tuple[int, int]] = []
        first = await mirror_repository(shop.repository, one, progress=lambda *step: steps.append(step))
        assert first.published == steps[-1][1] == 6
        assert (await mirror_repository(shop.repository, one)).published == 0
        assert (await mirror_repository(shop.repository, two)).published == 6
        change = shop.publish("1.1.0")
        delta = await mirror_repository(shop.repository, one, fresh=change.fresh, before=change.before)
        assert (delta.published, delta.unchanged) == (5, 1)


async def test_every_root_reaches_a_mirror_however_many_there_were_in_between(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    (tmp_path / "mirror").mkdir()
    async with open_folder_transport(tmp_path / "mirror") as transport:
        await mirror_repository(shop.repository, transport)
        for _ in range(2):
            rotate_root(shop.folder, signers=shop.root_signers[:2], now=NOW)
        change = refresh_metadata(shop.folder, signers=[shop.online], now=NOW)
        await mirror_repository(shop.repository, transport, fresh=change.fresh, before=change.before)
    assert {file.name for file in (tmp_path / "mirror/metadata").glob("*.root.json")} == {
        "1.root.json",
        "2.root.json",
        "3.root.json",
    }


def test_an_expired_root_sends_its_reader_to_the_holders(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.now = NOW + 364 * DAY
    shop.publish("1.0.0")
    shop.now = NOW + 366 * DAY
    with pytest.raises(UntrustedReleaseError, match=r"freeze.*root\.json is expired") as error:
        check(shop, tmp_path / "trusted")
    assert "remote rotate" in error.value.hint
    rotate_root(shop.folder, signers=shop.root_signers[:2], now=shop.now)
    assert check(shop, tmp_path / "trusted").root_version == 2


def test_garbage_where_metadata_should_be_is_called_that(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    (shop.folder / TIMESTAMP).write_bytes(b"garbage")
    with pytest.raises(UntrustedReleaseError, match="malformed") as error:
        check(shop, tmp_path / "trusted")
    assert "no signed metadata" in error.value.hint


async def test_a_mirror_that_lost_files_is_made_whole(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    (tmp_path / "mirror").mkdir()
    async with open_folder_transport(tmp_path / "mirror") as transport:
        await mirror_repository(shop.repository, transport)
        lost = next((tmp_path / "mirror/chunk").iterdir())
        lost.unlink()
        assert (await mirror_repository(shop.repository, transport)).published == 1
        assert lost.exists()


async def test_mirrors_lose_what_no_reader_needs_any_more(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    (tmp_path / "mirror").mkdir()
    async with open_folder_transport(tmp_path / "mirror") as transport:
        for number in range(5):
            change = shop.publish(f"1.{number}.0", keep=1)
            await mirror_repository(shop.repository, transport, fresh=change.fresh, before=change.before)
        assert (
            await mirror_repository(shop.repository, transport)
        ).removed == 0  # all that was stale is gone
    assert len(list((tmp_path / "mirror/chunk").iterdir())) == 4
    assert len(list((tmp_path / "mirror/metadata").iterdir())) == 1 + 2 + 2 + 1


async def test_the_timestamp_comes_last_so_that_readers_never_see_half(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    written: list[str] = []

    class Watching:
        address = "a list"

        def __init__(self) -> None:
            self.files: dict[str, bytes] = {}

        async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
            return self.files.get(path)

        async def publish(self, path: str, content: bytes) -> None:
            written.append(path)
            self.files[path] = content

    await mirror_repository(shop.repository, Watching())  # type: ignore[arg-type]
    assert [path.rpartition("/")[2].partition(".")[2] for path in written[2:]] == [
        "root.json",
        "targets.json",
        "snapshot.json",
        "json",
    ]
    assert written[-1] == TIMESTAMP


async def test_mirroring_a_damaged_repository_stops_before_the_timestamp(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0", content=component_bytes())
    next((shop.folder / "chunk").iterdir()).unlink()
    (tmp_path / "mirror").mkdir()
    async with open_folder_transport(tmp_path / "mirror") as transport:
        with pytest.raises(DamagedError, match="missing"):
            await mirror_repository(shop.repository, transport)
        assert await transport.fetch(TIMESTAMP, most_bytes=10_000) is None


async def test_an_absent_stick_is_unreachable(tmp_path: Path) -> None:
    async with open_folder_transport(tmp_path / "absent") as transport:
        with pytest.raises(RemoteUnreachableError, match="no folder"):
            await transport.fetch(TIMESTAMP, most_bytes=10)
