"""A remote's everyday life: resuming, quiet polls, a light agent, a short-lived trust process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.domain.errors import (
    InvalidConfigError,
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from edgehost.ports.remote import LinkedRemote, Remote
from remotes.folder_transport import open_folder_transport
from remotes.mqtt_transport import open_mqtt_transport
from remotes.remote import RemoteOptions, open_trusted_remote
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.workshop import DAY, NOW, Site, Workshop, broker_options, component_bytes, open_site
from tests.required_tools import require_tool


class CountingTransport:
    """A transport that counts what is asked of it, and can fail after so many chunks."""

    def __init__(self, inner: object, *, chunks_until_cut: int | None = None) -> None:
        self.inner = inner
        self.paths: list[str] = []
        self.chunks_until_cut = chunks_until_cut

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        if path.startswith("chunk/") and self.chunks_until_cut is not None:
            if self.chunks_until_cut == 0:
                raise RemoteUnreachableError("the cable was cut")
            self.chunks_until_cut -= 1
        self.paths.append(path)
        content: bytes | None = await self.inner.fetch(path, most_bytes=most_bytes)  # type: ignore[attr-defined]
        return content

    def chunks(self) -> list[str]:
        return [path for path in self.paths if path.startswith("chunk/")]


async def test_it_is_what_the_host_calls_a_remote(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        remote: Remote = site.remote
        assert isinstance(remote, LinkedRemote)
        assert remote.connected
        assert remote.name == "demo"
        assert [(o.component, o.version) for o in await remote.refresh()] == [
            ("pump", "2.0.0"),
            ("telemetry", "1.0.0"),
            ("telemetry", "1.1.0"),
        ]


async def test_a_cut_transfer_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    content = component_bytes(20 * CHUNK_BYTES + 17)
    async with open_site("folder", tmp_path) as site:
        site.shop.publish("2.0.0", content=content)
        await site.shop.mirror(site.transport)
        transport = CountingTransport(site.transport, chunks_until_cut=7)
        site.remote._transport = transport  # type: ignore[assignment]
        offer = (await site.remote.refresh())[-1]
        with pytest.raises(RemoteUnreachableError, match="cut"):
            await site.remote.fetch(offer)
        transport.chunks_until_cut = None
        seen: list[tuple[int, int]] = []
        assert await site.remote.fetch(offer, progress=lambda *step: seen.append(step)) == content
        assert seen[0] == (7 * CHUNK_BYTES, len(content))
        assert seen[-1] == (len(content), len(content))
        assert sorted(transport.chunks()) == sorted(f"chunk/{chunk}" for chunk in offer.chunks)
        assert not list((site.state / "partial").iterdir())


async def test_a_broker_that_dies_mid_transfer_costs_only_the_chunks_on_their_way(tmp_path: Path) -> None:
    require_tool("mosquitto")
    content = component_bytes(24 * CHUNK_BYTES)
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0", content=content)
    async with open_broker(kind="mosquitto") as broker:
        options = broker_options(broker.tcp_port, answer_timeout_s=1)
        async with (
            open_mqtt_transport("demo", options) as publisher,
            open_mqtt_transport("demo", options) as reader,
            open_trusted_remote(
                "demo", reader, folder=tmp_path / "state", root_file=shop.root_file, now=lambda: shop.now
            ) as remote,
        ):
            await shop.mirror(publisher)
            (offer,) = await remote.refresh()
            half = asyncio.Event()

            def watch(done: int, total: int) -> None:
                if done > total / 3:
                    kill(broker.pid) if not half.is_set() else None
                    half.set()

            with pytest.raises(RemoteUnreachableError):
                await remote.fetch(offer, progress=watch)
            await broker.stop(kill=True)
            await broker.start()
            await shop.mirror(publisher)
            seen: list[int] = []
            assert await remote.fetch(offer, progress=lambda done, _: seen.append(done)) == content
            assert seen[0] > len(content) / 3


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json", "clock_floor.json"])
async def test_a_damaged_trusted_state_is_begun_again_and_told_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_site("folder", tmp_path) as site:
        await site.remote.refresh()
        assert not caplog.records
        (site.state / "trusted" / name).write_bytes(b"\0" * 100)
        for _ in range(2):
            site.remote._state = None  # as after a restart
            assert len(await site.remote.refresh()) == 3
        (told,) = [record.getMessage() for record in caplog.records]
        assert "trusted state was damaged" in told
        assert f"begun again from {site.shop.root_file}" in told


async def test_a_damaged_chunk_on_the_disk_is_fetched_again(tmp_path: Path) -> None:
    content = component_bytes(4 * CHUNK_BYTES)
    async with open_site("folder", tmp_path) as site:
        site.shop.publish("2.0.0", content=content)
        await site.shop.mirror(site.transport)
        transport = CountingTransport(site.transport, chunks_until_cut=3)
        site.remote._transport = transport  # type: ignore[assignment]
        offer = (await site.remote.refresh())[-1]
        with pytest.raises(RemoteUnreachableError):
            await site.remote.fetch(offer)
        kept = min((site.state / "partial" / offer.digest).iterdir())
        kept.write_bytes(b"torn by a power cut")
        transport.chunks_until_cut = None
        assert await site.remote.fetch(offer) == content


async def test_unfinished_transfers_are_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    options = RemoteOptions(partial_most_bytes=6 * CHUNK_BYTES)
    async with open_site("folder", tmp_path, options=options) as site:
        for version in ("2.0.0", "2.1.0", "2.2.0"):
            site.shop.publish(version, content=component_bytes(3 * CHUNK_BYTES, version))
        await site.shop.mirror(site.transport)
        transport = CountingTransport(site.transport)
        site.remote._transport = transport  # type: ignore[assignment]
        offers = {offer.version: offer for offer in await site.remote.refresh()}
        for version in ("2.0.0", "2.1.0", "2.2.0"):
            transport.chunks_until_cut = 2
            with pytest.raises(RemoteUnreachableError):
                await site.remote.fetch(offers[version])
        kept = {folder.name for folder in (site.state / "partial").iterdir()}
        assert kept == {offers["2.1.0"].digest, offers["2.2.0"].digest}


async def test_a_release_larger_than_the_host_takes_is_not_begun(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path, options=RemoteOptions(component_most_bytes=1000)) as site:
        offer = (await site.remote.refresh())[-1]
        with pytest.raises(TooLargeError, match="50000 bytes"):
            await site.remote.fetch(offer)


async def test_a_release_that_was_never_offered_is_not_fetched(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        offer = (await site.remote.refresh())[-1]
        with pytest.raises(UntrustedReleaseError, match="does not offer"):
            await site.remote.fetch(replace(offer, digest="0" * 64))


async def test_offers_are_not_fetched_once_their_metadata_has_expired(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        offer = (await site.remote.refresh())[-1]
        site.shop.now = NOW + 31 * DAY
        with pytest.raises(UntrustedReleaseError, match="freeze"):
            await site.remote.fetch(offer)


async def test_an_unchanged_remote_is_polled_without_a_trust_process(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path, options=RemoteOptions(trust_idle_s=0)) as site:
        first = await site.remote.refresh()
        await ended(site)
        assert await site.remote.refresh() == first
        assert site.remote.trust_process_id is None


def kill(process_id: int | None) -> None:
    """SIGKILL to this process; None must not become 0, which is the whole process group."""
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)


class Empty(CountingTransport):
    """A transport behind which there is nothing."""

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        return None


async def test_where_nothing_was_published_a_look_starts_no_trust_process(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        site.remote._transport = Empty(site.transport)  # type: ignore[assignment]
        with pytest.raises(RemoteUnreachableError, match="holds no repository"):
            await site.remote.refresh()
        assert site.remote.trust_process_id is None


async def test_the_trust_process_ends_when_it_has_nothing_to_do_and_comes_back(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path, options=RemoteOptions(trust_idle_s=0)) as site:
        await site.remote.refresh()
        await ended(site)
        await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
        assert len(await site.remote.refresh()) == 4


async def test_a_machine_that_cannot_start_the_trust_process_makes_the_remote_unreachable_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_site("folder", tmp_path) as site:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(tmp_path / "gone"))
            with pytest.raises(RemoteUnreachableError, match="cannot be started"):
                await site.remote.refresh()
        assert await site.remote.refresh()


async def test_a_trust_process_killed_between_checks_is_replaced(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        await site.remote.refresh()
        kill(site.remote.trust_process_id)
        await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
        assert len(await site.remote.refresh()) == 4


async def test_a_trust_process_killed_in_a_check_is_said_and_the_next_check_works(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:

        class Killing(CountingTransport):
            async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
                if site.remote.trust_process_id is not None:  # the look before it is not the check's
                    kill(site.remote.trust_process_id)
                return await super().fetch(path, most_bytes=most_bytes)

        site.remote._transport = Killing(site.transport)  # type: ignore[assignment]
        with pytest.raises(RemoteUnreachableError, match="its process ended"):
            await site.remote.refresh()
        site.remote._transport = site.transport
        assert len(await site.remote.refresh()) == 3


async def test_a_check_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path, options=RemoteOptions(check_timeout_s=0.5)) as site:

        class Hanging(CountingTransport):
            async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
                if site.remote.trust_process_id is not None:
                    await asyncio.Event().wait()
                return await super().fetch(path, most_bytes=most_bytes)

        site.remote._transport = Hanging(site.transport)  # type: ignore[assignment]
        with pytest.raises(RemoteUnreachableError, match=r"more than 0\.5 s"):
            await site.remote.refresh()
        assert site.remote.trust_process_id is None


async def test_a_cancelled_check_leaves_no_process_and_harms_no_later_one(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        asked = asyncio.Event()

        class Hanging(CountingTransport):
            async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
                asked.set()
                if site.remote.trust_process_id is not None:
                    await asyncio.Event().wait()
                return await super().fetch(path, most_bytes=most_bytes)

        site.remote._transport = Hanging(site.transport)  # type: ignore[assignment]
        async with asyncio.TaskGroup() as tasks:
            check = tasks.create_task(site.remote.refresh())
            await asked.wait()
            check.cancel()
        assert site.remote.trust_process_id is None
        site.remote._transport = site.transport
        assert len(await site.remote.refresh()) == 3


async def test_a_host_without_the_publishers_root_is_told_what_to_do(tmp_path: Path) -> None:
    async with (
        open_folder_transport(tmp_path) as transport,
        open_trusted_remote(
            "demo", transport, folder=tmp_path / "state", root_file=tmp_path / "absent", now=lambda: NOW
        ) as remote,
    ):
        with pytest.raises(InvalidConfigError, match="absent, cannot be read") as error:
            await remote.refresh()
        assert "root.json" in error.value.hint
        (tmp_path / "absent").write_text("{}")
        await transport.publish(TIMESTAMP, b"{}")
        with pytest.raises(InvalidConfigError, match="no valid root"):
            await remote.refresh()


async def test_a_remote_where_nothing_is_published_is_unreachable_not_untrusted(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    (tmp_path / "empty").mkdir()
    async with (
        open_folder_transport(tmp_path / "empty") as transport,
        open_trusted_remote(
            "demo", transport, folder=tmp_path / "state", root_file=shop.root_file, now=lambda: NOW
        ) as remote,
    ):
        with pytest.raises(RemoteUnreachableError, match="holds no repository"):
            await remote.refresh()


async def test_what_was_trusted_is_known_after_a_restart(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        old = site.shop.file(TIMESTAMP)
        await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
        await site.remote.refresh()
        await site.serve({TIMESTAMP: old})
        async with open_trusted_remote(
            "demo", site.transport, folder=site.state, root_file=site.shop.root_file, now=lambda: NOW
        ) as again:
            with pytest.raises(UntrustedReleaseError, match="rollback"):
                await again.refresh()


async def test_a_change_is_told_through_the_remote(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        changes = site.remote.changes()
        await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
        async with asyncio.timeout(30):
            await anext(changes)


def test_the_agents_side_imports_neither_tuf_nor_cryptography() -> None:
    program = (
        "import sys, remotes.remote, remotes.mqtt_transport, remotes.folder_transport\n"
        "heavy = {'tuf', 'cryptography', 'securesystemslib', 'urllib3', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


async def ended(site: Site) -> None:
    """Return once the trust process is gone."""
    async with asyncio.timeout(30):
        while site.remote.trust_process_id is not None:
            await asyncio.sleep(0.01)
