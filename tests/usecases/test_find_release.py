from __future__ import annotations

import pytest

from edgehost.domain.errors import NotFoundError
from edgehost.domain.release_life import Stage
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.find_release import named_release, newest_release
from edgehost.usecases.follow_remote import Following
from tests.usecases.test_follow_remote import Followed

ONE = VersionRange.parse("^1.0")


async def test_without_a_version_only_what_the_configuration_wants_is_chosen() -> None:
    scene = Followed(Following(versions={"orders": ONE}))
    scene.remote.offer("orders", "1.2.0", 1)
    scene.remote.offer("orders", "2.3.0", 2)
    await scene.shelve("orders", "2.2.0", sequence=3)
    found = await newest_release(scene.deployer, [scene.follow], "orders", ONE)
    assert found.version == "1.2.0"
    assert scene.remote.fetched == ["1.2.0"]


async def test_who_finds_nothing_in_the_range_is_told_what_is_offered_outside_of_it() -> None:
    scene = Followed()
    scene.remote.offer("orders", "2.3.0", 2)
    with pytest.raises(NotFoundError, match=r"offers 2\.3\.0, but components\.orders\.version is '\^1\.0'"):
        await newest_release(scene.deployer, [scene.follow], "orders", ONE)


async def test_without_a_version_a_quarantined_release_is_passed_over_for_the_live_one() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.remote.offer("orders", "1.1.0", 2)
    bad = await scene.follow.shelved(scene.remote.offers[-1])
    await scene.ledger.move(bad, Stage.QUARANTINED, reason="It trapped.")
    found = await newest_release(scene.deployer, [scene.follow], "orders", ONE)
    assert (found.version, found.stage) == ("1.0.0", Stage.LIVE)


async def test_a_component_with_nothing_but_quarantined_releases_says_so() -> None:
    scene = Followed()
    scene.remote.offer("orders", "1.1.0", 2)
    bad = await scene.follow.shelved(scene.remote.offers[-1])
    await scene.ledger.move(bad, Stage.QUARANTINED, reason="It trapped.")
    with pytest.raises(NotFoundError, match=r"quarantined.*It trapped"):
        await newest_release(scene.deployer, [scene.follow], "orders", ONE)


async def test_a_known_release_that_nobody_has_any_more_is_named_as_such() -> None:
    scene = Followed()
    release = await scene.shelve("orders", "1.0.0")
    await scene.shelf.collect(())
    with pytest.raises(NotFoundError, match="no remote offers it any more"):
        await named_release(scene.deployer, [scene.follow], release.component, release.version)
