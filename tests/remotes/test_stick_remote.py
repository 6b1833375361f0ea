"""A remote on sticks: the newest bundle that holds wins, whatever else lies there, and a pulled stick leaves old or new."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, UntrustedReleaseError
from edgehost.domain.signed_content import SignedContent
from remotes.bundle_file import BundleFile
from remotes.bundle_report import Outcome, report_path
from remotes.root_ceremony import rotate_root
from remotes.stick_remote import StickRemote, inbox_of, open_stick_remote
from remotes.stick_transport import Bundle
from tests.remotes.test_bundles import bundled, leftovers
from tests.remotes.workshop import DAY, NOW, Workshop, component_bytes


@dataclass
class Site:
    """A host with a stick, and all that it told."""

    remote: StickRemote
    stick: Path
    state: Path
    told: list[tuple[str, Outcome, str]]
    look: asyncio.Event
    looked: asyncio.Semaphore

    async def look_again(self) -> None:
        """One look of the watcher, whole."""
        self.look.set()
        await self.looked.acquire()

    def report(self, name: str) -> dict[str, Any]:
        return dict(json.loads(report_path(self.stick / f"{name}.edgehost-bundle").read_bytes()))


@asynccontextmanager
async def open_site(shop: Workshop, folder: Path) -> AsyncIterator[Site]:
    """The watcher looks when it is told to."""
    stick, state = folder / "media" / "stick", folder / "state"
    stick.mkdir(parents=True, exist_ok=True)
    look, looked = asyncio.Event(), asyncio.Semaphore(0)
    first = True

    async def pause() -> None:
        nonlocal first
        if not first:
            looked.release()
        first = False
        await look.wait()
        look.clear()

    told: list[tuple[str, Outcome, str]] = []

    def tell(bundle: Bundle, outcome: Outcome, code: str, _reason: str) -> None:
        told.append((bundle.path.name.partition(".")[0], outcome, code))

    async with open_stick_remote(
        "demo",
        folder / "media",
        state=state,
        root_file=shop.root_file,
        host="site",
        now=lambda: shop.now,
        pause=pause,
    ) as remote:
        remote.reports.tell = tell
        yield Site(remote, stick, state, told, look, looked)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    return shop


async def put(shop: Workshop, site: Site, name: str, *components: str) -> Path:
    """The repository's state now, on the stick."""
    return await bundled(shop, site.stick / f"{name}.edgehost-bundle", *components)


async def test_no_stick_is_no_outage(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        shutil.rmtree(site.stick.parent)
        assert await site.remote.refresh() == ()
        assert site.remote.connected
        assert site.told == []


async def test_of_many_bundles_the_newest_that_holds_is_taken(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        await put(shop, site, "first")
        shop.publish("1.1.0")
        await put(shop, site, "second")
        stranger = Workshop(tmp_path / "strangers")
        for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0"):
            stranger.publish(version)
        await put(stranger, site, "strangers")  # by its own word the newest
        offers = await site.remote.refresh()
        assert [offer.version for offer in offers] == ["1.0.0", "1.1.0"]
        assert site.told == [
            ("strangers", Outcome.REFUSED, "untrusted-release"),
            ("second", Outcome.TAKEN, ""),
            ("first", Outcome.OLDER, ""),
        ]
        assert await site.remote.fetch(offers[-1]) == component_bytes(seed="telemetry1.1.0")
        await site.look_again()
        assert "wrong keys" in site.report("strangers")["reason"]
        report = site.report("second")
        assert report["outcome"] == "taken"
        assert report["contents"]["telemetry/1.1.0.wasm"]["state"] == "fetched"
        assert report["contents"]["telemetry/1.0.0.wasm"]["state"] == "carried"
        await site.remote.refresh()
        assert len(site.told) == 3  # nobody is told twice


async def test_an_older_stick_after_a_newer_one_brings_nothing_back(shop: Workshop, tmp_path: Path) -> None:
    old = await bundled(shop, tmp_path / "old.edgehost-bundle")
    shop.publish("1.1.0")
    async with open_site(shop, tmp_path) as site:
        new = await put(shop, site, "new")
        assert len(await site.remote.refresh()) == 2
        new.unlink()
        shutil.copy(old, site.stick / "old.edgehost-bundle")
    async with open_site(shop, tmp_path) as site:  # also after a restart
        assert await site.remote.refresh() == ()
        assert site.told == [("old", Outcome.OLDER, "")]


async def test_a_bundle_of_another_repository_is_called_so_and_not_older(
    shop: Workshop, tmp_path: Path
) -> None:
    shop.publish("1.1.0")
    stranger = Workshop(tmp_path / "strangers")
    stranger.publish("0.9.0")
    async with open_site(shop, tmp_path) as site:
        new = await put(shop, site, "new")
        assert len(await site.remote.refresh()) == 2
        await put(stranger, site, "strangers")  # by its own word older
        assert len(await site.remote.refresh()) == 2
        assert site.told[1:] == [("strangers", Outcome.REFUSED, "untrusted-release")]
        await site.look_again()
        assert "from another repository that is called demo as well" in site.report("strangers")["reason"]
        new.unlink()
        with pytest.raises(UntrustedReleaseError, match="another repository"):
            await site.remote.refresh()


async def test_a_bundle_of_before_a_rotation_of_the_root_is_older_and_no_stranger(
    shop: Workshop, tmp_path: Path
) -> None:
    old = await bundled(shop, tmp_path / "old.edgehost-bundle")
    rotate_root(shop.folder, signers=shop.root_signers[:2], now=shop.now)
    shop.publish("1.1.0")
    async with open_site(shop, tmp_path) as site:
        await put(shop, site, "new")
        await site.remote.refresh()
        shutil.copy(old, site.stick / "old.edgehost-bundle")
        await site.remote.refresh()
        assert site.told == [("new", Outcome.TAKEN, ""), ("old", Outcome.OLDER, "")]


async def test_a_stick_that_comes_again_says_that_nothing_in_it_was_new(
    shop: Workshop, tmp_path: Path
) -> None:
    shelf: set[str] = set()

    async def has(content: SignedContent) -> bool:
        return content.digest in shelf

    async with open_site(shop, tmp_path) as site:
        site.remote.reports.has = has
        file = await put(shop, site, "a")
        (offer,) = await site.remote.refresh()
        await site.remote.fetch(offer)
        shelf.add(offer.digest)
        await site.remote.refresh()  # nothing has changed on the stick
        await site.look_again()
        assert site.report("a")["contents"][offer.target_path]["state"] == "fetched"
        assert site.report("a")["reason"] == ""
        file.rename(tmp_path / "pulled")
        assert await site.remote.refresh() == ()
        (tmp_path / "pulled").rename(file)
        assert len(await site.remote.refresh()) == 1
        report = site.report("a")
        assert (report["outcome"], report["reason"]) == ("taken", "Nothing in it was new to this host.")
        assert report["contents"][offer.target_path]["state"] == "already here"


async def test_a_bundle_that_lies_about_its_age_is_refused_as_a_rollback_would_be(
    shop: Workshop, tmp_path: Path
) -> None:
    async with open_site(shop, tmp_path) as site:
        old = shop.files()
        shop.publish("1.1.0")
        await put(shop, site, "new")
        await site.remote.refresh()
        mixed = Workshop.__new__(Workshop)
        mixed.folder = tmp_path / "mixed"
        shutil.copytree(shop.folder, mixed.folder)
        snapshot = json.loads(old["metadata/1.snapshot.json"])["signed"]["version"]
        timestamp = json.loads(old["metadata/timestamp.json"])
        timestamp["signed"]["version"] = 99  # so that it is looked at
        (mixed.folder / "metadata/timestamp.json").write_text(json.dumps(timestamp))
        assert snapshot == 1
        await bundled(mixed, site.stick / "liar.edgehost-bundle")
        offers = await site.remote.refresh()
        assert len(offers) == 2
        assert ("liar", Outcome.REFUSED, "untrusted-release") in site.told


async def test_when_none_holds_the_remote_is_refused(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        await put(shop, site, "late")
        shop.now = NOW + 31 * DAY
        with pytest.raises(UntrustedReleaseError, match="freeze"):
            await site.remote.refresh()
        assert site.report("late")["outcome"] == "refused"
        assert site.report("late")["hint"]
        shop.now = NOW  # the clock was wrong
        assert len(await site.remote.refresh()) == 1


async def test_a_component_that_no_bundle_carries_is_not_offered(shop: Workshop, tmp_path: Path) -> None:
    shop.publish("2.0.0", name="pump")
    async with open_site(shop, tmp_path) as site:
        await put(shop, site, "part", "pump")
        assert [offer.component for offer in await site.remote.refresh()] == ["pump"]
        await put(shop, site, "rest", "telemetry")
        assert [offer.component for offer in await site.remote.refresh()] == ["pump", "telemetry"]


async def test_a_flipped_chunk_in_one_bundle_is_fetched_from_another(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        good = await put(shop, site, "good")
        content = bytearray(good.read_bytes())
        content[-2000] ^= 1
        (site.stick / "bad.edgehost-bundle").write_bytes(content)
        offer = (await site.remote.refresh())[-1]
        assert await site.remote.fetch(offer) == component_bytes(seed="telemetry1.0.0")
        good.unlink()
        with pytest.raises(UntrustedReleaseError, match="tampering"):
            await site.remote.fetch(offer)
        await site.look_again()
        assert site.report("bad")["contents"] or site.report("good")["contents"]


async def test_a_bundle_that_is_still_copied_is_told_of_once_it_stands_still(
    shop: Workshop, tmp_path: Path
) -> None:
    async with open_site(shop, tmp_path) as site:
        whole = (await bundled(shop, tmp_path / "whole.edgehost-bundle")).read_bytes()
        file = site.stick / "slow.edgehost-bundle"
        changes = site.remote.changes()
        await site.look_again()
        for length in (1000, 20_000):
            file.write_bytes(whole[:length])
            await site.look_again()
            assert await site.remote.refresh() == ()
        assert site.told == []
        await site.look_again()
        async with asyncio.timeout(5):
            await anext(changes)
        assert await site.remote.refresh() == ()
        assert site.told == [("slow", Outcome.UNREADABLE, "cut-bundle")]
        file.write_bytes(whole)
        assert len(await site.remote.refresh()) == 1
        assert site.told[-1] == ("slow", Outcome.TAKEN, "")


async def test_links_on_a_stick_lead_nowhere(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        secret = await bundled(shop, tmp_path / "secret.edgehost-bundle")
        (site.stick / "link.edgehost-bundle").symlink_to(secret)
        (tmp_path / "elsewhere").mkdir()
        shutil.copy(secret, tmp_path / "elsewhere")
        (site.stick / "folder").symlink_to(tmp_path / "elsewhere")
        assert await site.remote.refresh() == ()
        report = site.stick / "real.report.json"
        report.symlink_to(tmp_path / "victim")
        shutil.copy(secret, site.stick / "real.edgehost-bundle")
        assert len(await site.remote.refresh()) == 1
        assert not report.is_symlink()
        assert not (tmp_path / "victim").exists()


async def test_a_stick_that_cannot_be_written_to_is_read_all_the_same(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        await put(shop, site, "a")
        (site.stick / "a.report.json").mkdir()  # nothing can take its place
        assert len(await site.remote.refresh()) == 1
        assert not leftovers(site.stick)


async def test_of_the_hosts_own_copies_only_the_one_in_use_stays(shop: Workshop, tmp_path: Path) -> None:
    async with open_site(shop, tmp_path) as site:
        inbox = inbox_of(site.state)
        inbox.mkdir(parents=True)
        await bundled(shop, inbox / "one.edgehost-bundle")
        assert len(await site.remote.refresh()) == 1
        shop.publish("1.1.0")
        await bundled(shop, inbox / "two.edgehost-bundle")
        await put(shop, site, "mine")
        assert len(await site.remote.refresh()) == 2
        assert [file.name for file in inbox.glob("*.edgehost-bundle")] in (["two.edgehost-bundle"], [])
        assert (site.stick / "mine.edgehost-bundle").exists()


async def test_a_stick_that_is_pulled_at_any_read_leaves_what_was_or_what_is_new(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 1 << 30
    read = BundleFile.read

    def pulled(bundle: BundleFile, path: str, most_bytes: int) -> bytes | None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RemoteUnreachableError(f"{bundle.path}: Input/output error.")
        return read(bundle, path, most_bytes)

    monkeypatch.setattr(BundleFile, "read", pulled)
    async with open_site(shop, tmp_path) as site:
        old = await put(shop, site, "old")
        await site.remote.refresh()
        shop.publish("1.1.0")
        new = await bundled(shop, tmp_path / "new.edgehost-bundle")
        old.unlink()
        whole = False
        for reads in range(60):
            shutil.copy(new, site.stick / "new.edgehost-bundle")
            left = reads
            try:
                offers = await site.remote.refresh()
                if offers:
                    assert [offer.version for offer in offers] == ["1.0.0", "1.1.0"]
                    content = await site.remote.fetch(offers[-1])
                    assert content == component_bytes(seed="telemetry1.1.0")
                    whole = True
            except UntrustedReleaseError:
                raise AssertionError("a pulled stick is no attack") from None
            except EdgehostError:
                pass
            left = 1 << 30
            (site.stick / "new.edgehost-bundle").unlink()
            if whole:
                break
        assert whole
