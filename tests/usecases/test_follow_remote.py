from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from edgehost.domain.errors import EdgehostError, EndpointTakenError, RemoteUnreachableError
from edgehost.domain.events import RemoteRefused
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import SignedDocument
from edgehost.domain.traffic import Share
from edgehost.domain.transfer import Transfer
from edgehost.domain.transfer_events import ReleaseFetched, TransferProgressed
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.follow_remote import Following, FollowRemote, Trial
from edgehost.usecases.roll_back_release import roll_back
from tests.usecases.deploy_scene import Scene, component_bytes


class ListedRemote:
    """A remote whose offers a test lists."""

    def __init__(self) -> None:
        self.name = "test"
        self.offers: list[OfferedRelease] = []
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.error: EdgehostError | OSError | None = None
        self.steps: list[tuple[int, int]] = []  # what a fetch tells of its progress

    def offer(self, component: str, version: str, sequence: int, **more: Any) -> OfferedRelease:
        content = component_bytes(component, version, endpoint=str(more.pop("endpoint", component)))
        digest = hashlib.sha256(content).hexdigest()
        self.files[digest] = content
        fields: dict[str, Any] = {
            "component": component,
            "version": version,
            "kind": "model",
            "abi": "extism",
            "sequence": sequence,
            "device_classes": ("any",),
            "digest": digest,
            "size_bytes": len(content),
            "remote": self.name,
            "target_path": f"{component}/{version}.wasm",
        }
        offer = OfferedRelease(**(fields | more))
        self.offers.append(offer)
        return offer

    async def refresh(self) -> tuple[OfferedRelease, ...]:
        if self.error is not None:
            raise self.error
        return tuple(self.offers)

    def documents(self) -> tuple[SignedDocument, ...]:
        return ()

    async def fetch(
        self,
        content: SignedContent,
        *,
        progress: Callable[[int, int], None] | None = None,
        base: Callable[[str], Awaitable[bytes]] | None = None,
        transfer: Transfer | None = None,
    ) -> bytes:
        self.fetched.append(content.version)
        for step in self.steps:
            if progress is not None:
                progress(*step)
            if transfer is not None:
                transfer.received_bytes = step[0]
        return self.files[content.digest]

    async def changes(self) -> AsyncIterator[None]:
        return
        yield


class Followed(Scene):
    def __init__(self, following: Following | None = None) -> None:
        super().__init__()
        self.remote = ListedRemote()
        self.follow = FollowRemote(
            self.remote,
            following or Following(),
            shelf=self.shelf,
            ledger=self.ledger,
            bus=self.bus,
            clock=self.clock,
            deploy=self._deploy,
        )

    @property
    def refusals(self) -> list[RemoteRefused]:
        return self.bus.of(RemoteRefused)

    def beside(
        self, remote: ListedRemote, outranked: Callable[[str], bool] = lambda _component: False
    ) -> FollowRemote:
        return FollowRemote(
            remote,
            Following(),
            shelf=self.shelf,
            ledger=self.ledger,
            bus=self.bus,
            clock=self.clock,
            deploy=self._deploy,
            outranked=outranked,
        )

    async def _deploy(self, release: Release) -> None:
        await self.deployer.deploy(release)

    def live(self, component: str) -> str:
        release = self.ledger.live(component)
        return "" if release is None else release.version


async def test_the_newest_version_is_fetched_and_goes_live_once() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    scene.remote.offer("orders", "1.10.0", 3)
    scene.remote.offer("orders", "1.9.0", 2)
    await scene.follow.catch_up()
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.10.0"
    assert scene.remote.fetched == ["1.10.0"]


async def test_a_component_that_is_not_followed_is_left_alone() -> None:
    scene = Followed(Following(components=("sales",)))
    scene.remote.offer("orders", "1.0.0", 1)
    assert await scene.follow.catch_up() == ()


async def test_the_operators_version_range_holds_even_when_a_newer_release_was_accepted_before() -> None:
    scene = Followed()
    scene.remote.offer("orders", "2.0.0", 2)
    await scene.follow.catch_up()
    pinned = Followed(Following(versions={"orders": VersionRange.parse("^1")}))
    pinned.ledger, pinned.shelf = scene.ledger, scene.shelf
    pinned.remote.offer("orders", "2.0.0", 2)
    pinned.remote.offer("orders", "1.4.0", 1)
    assert [offer.version for offer in pinned.follow.chosen(pinned.remote.offers)] == ["1.4.0"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"device_classes": ("drone",)}, "device class drone"),
        ({"abi": "other"}, "abi 'other'"),
        ({"size_bytes": 9_000_000}, "9000000 bytes"),
    ],
)
async def test_a_release_that_is_not_for_this_host_is_told_once_and_never_fetched(
    more: dict[str, object], words: str
) -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1, **more)
    await scene.follow.catch_up()
    await scene.follow.catch_up()
    assert scene.remote.fetched == []
    assert len(scene.refusals) == 1
    assert words in scene.refusals[0].reason


async def test_an_unknown_release_with_an_older_sequence_is_refused() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 5)
    await scene.follow.catch_up()
    scene.remote.offers.clear()
    scene.remote.offer("orders", "1.5.0", 4)
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.0.0"
    assert "sequence 4" in scene.refusals[0].reason


async def test_a_quarantined_release_is_never_taken_up_again_but_a_newer_one_is() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.offer("orders", "1.1.0", 2)
    await scene.follow.catch_up()
    await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.0.0"
    scene.remote.offer("orders", "1.2.0", 3)
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.2.0"


async def test_one_component_that_cannot_be_deployed_does_not_hold_up_the_others() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1, endpoint="same")
    scene.remote.offer("sales", "1.0.0", 1, endpoint="same")
    scene.remote.offer("stock", "1.0.0", 1)
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.0.0"
    assert scene.live("stock") == "1.0.0"
    assert scene.live("sales") == ""
    assert scene.refusals[0].code == EndpointTakenError.code


async def test_an_unreachable_remote_is_the_callers_to_retry_and_changes_nothing() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.error = RemoteUnreachableError("No broker.")
    with pytest.raises(RemoteUnreachableError):
        await scene.follow.catch_up()
    assert scene.live("orders") == "1.0.0"


async def test_a_release_that_the_fleet_publishes_again_under_a_newer_sequence_comes_back_from_the_shelf() -> (
    None
):
    scene = Followed()
    one = scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.offer("orders", "1.1.0", 2)
    await scene.follow.catch_up()
    old = scene.ledger.by_digest(one.digest)
    assert old is not None
    await scene.ledger.move(old, Stage.RETIRED)
    scene.remote.offers.clear()
    scene.remote.offer("orders", "1.0.0", 3)
    await scene.follow.catch_up()
    assert scene.live("orders") == "1.0.0"
    assert scene.remote.fetched == ["1.0.0", "1.1.0"]


def trial_scene() -> tuple[Followed, list[tuple[str, float]]]:
    tried: list[tuple[str, float]] = []
    scene = Followed(Following(trials={"orders": Trial(VersionRange.parse("^1.1"), Share(0.2))}))

    async def try_out(release: Release, share: Share) -> None:
        tried.append((release.version, share.weight))
        probed = await scene.ledger.move(await scene.ledger.move(release, Stage.STAGED), Stage.PROBED)
        await scene.ledger.share_out({probed.digest: share})

    scene.follow._try_out = try_out
    return scene, tried


async def test_a_version_on_trial_gets_its_share_instead_of_going_live() -> None:
    scene, tried = trial_scene()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.offer("orders", "1.1.0", 2)
    await scene.follow.catch_up()
    assert tried == [("1.1.0", 0.2)]
    assert live_version(scene) == "1.0.0"
    # While it is compared neither a later candidate nor another release disturbs the figures.
    scene.remote.offer("orders", "1.2.0", 3)
    scene.remote.offer("orders", "1.0.1", 4)
    await scene.follow.catch_up()
    assert tried == [("1.1.0", 0.2)]
    assert live_version(scene) == "1.0.0"


async def test_the_first_release_of_a_component_goes_live_even_when_it_would_be_on_trial() -> None:
    scene, tried = trial_scene()
    scene.remote.offer("orders", "1.1.0", 1)
    await scene.follow.catch_up()
    assert live_version(scene) == "1.1.0"
    assert tried == []


async def test_a_promoted_version_stays_though_older_ones_are_offered_that_need_no_trial() -> None:
    scene, _ = trial_scene()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.offer("orders", "1.1.0", 2)
    await scene.follow.catch_up()
    before = scene.ledger.live("orders")
    await scene.ledger.go_live(
        scene.ledger.named("orders", "1.1.0"),
        before=before,
        before_goes=Stage.DRAINING,
        reason="",
        probation_until=0.0,
    )
    await scene.follow.catch_up()
    assert live_version(scene) == "1.1.0"


def live_version(scene: Followed) -> str:
    live = scene.ledger.live("orders")
    return "" if live is None else live.version


async def test_a_component_is_taken_from_the_remote_with_the_highest_priority_that_offers_it() -> None:
    scene = Followed(Following(priority=1))
    other = ListedRemote()
    lower = scene.beside(other, outranked=scene.follow.offers_component)
    other.offer("orders", "9.0.0", 50)
    other.offer("sales", "1.0.0", 1)
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    await lower.catch_up()
    assert (scene.live("orders"), scene.live("sales")) == ("1.0.0", "1.0.0")
    scene.remote.offers.clear()
    await scene.follow.catch_up()
    await lower.catch_up()
    assert scene.live("orders") == "9.0.0"


async def test_sequences_of_one_remote_say_nothing_of_anothers() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 50)
    await scene.follow.catch_up()
    other = ListedRemote()
    other.offer("orders", "1.1.0", 3, remote="other")
    other.name = "other"
    await scene.beside(other).catch_up()
    assert scene.live("orders") == "1.1.0"


async def test_what_came_and_how_much_of_it_is_told() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    scene.remote.steps = [(100, 1000), (150, 1000), (700, 1000), (1000, 1000)]
    await scene.follow.catch_up()
    assert [each.done_bytes for each in scene.bus.of(TransferProgressed)] == [100, 700]
    (fetched,) = scene.bus.of(ReleaseFetched)
    assert (fetched.component, fetched.received_bytes, fetched.from_delta) == ("orders", 1000, False)
