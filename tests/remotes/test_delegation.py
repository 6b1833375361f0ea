"""Teams that sign their own components: with and without the online key, and what they must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import ConflictError, InvalidConfigError, NotFoundError
from edgehost.domain.signed_document import DocumentKind
from remotes.delegation import delegate, undelegate
from remotes.document_publisher import publish_document
from remotes.publisher import publish_release, refresh_metadata, releases, show_repository, withdraw_release
from remotes.repository_files import stale_files
from remotes.target_changes import Published
from remotes.trust import CheckRequest, Verdict, check_repository
from tests.remotes.workshop import Workshop, component_bytes, open_site


def check(shop: Workshop, folder: Path) -> Verdict:
    def fetch(path: str, _most_bytes: int) -> bytes | None:
        file = shop.folder / path
        return file.read_bytes() if file.is_file() else None

    return check_repository(CheckRequest("demo", folder, shop.root_file, shop.now), fetch)


def let(shop: Workshop, team: CryptoSigner, *paths: str, **more: Any) -> Published:
    signers = more.pop("signers", [shop.online])
    return delegate(
        shop.folder, "pumps", paths=paths, keys=[team.public_key], signers=signers, now=shop.now, **more
    )


def publish(shop: Workshop, version: str, *signers: CryptoSigner, name: str = "pump") -> Published:
    spec = read_component_spec({"name": name, "version": version, "kind": "adapter"})
    content = component_bytes(seed=name + version)
    return publish_release(shop.folder, spec, content, signers=signers, now=shop.now)


def offered(shop: Workshop, folder: Path) -> list[tuple[str, str, int]]:
    return [(each.component, each.version, each.sequence) for each in check(shop, folder).offers]


def opened(tmp_path: Path) -> tuple[Workshop, CryptoSigner]:
    shop, team = Workshop(tmp_path / "repository"), CryptoSigner.generate_ed25519()
    shop.publish("1.0.0")
    shop.publish("0.9.0", name="pump")
    let(shop, team, "pump/*", "@firmware/pump/*")
    return shop, team


def test_a_role_that_has_signed_nothing_changes_nothing_for_hosts(tmp_path: Path) -> None:
    shop, _ = opened(tmp_path)
    assert offered(shop, tmp_path / "trusted") == [("pump", "0.9.0", 1), ("telemetry", "1.0.0", 1)]


def test_what_a_team_signs_waits_for_the_online_key_and_is_then_on_offer(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    waiting = publish(shop, "1.0.0", team)
    assert "edgehost remote refresh" in waiting.notes[-1]
    publish(shop, "1.1.0", team)  # on top of what waits
    assert len(offered(shop, tmp_path / "trusted")) == 2
    assert show_repository(shop.folder, now=shop.now)["delegated"][0]["waiting"]
    taken = refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    assert taken.before == b""  # mirrors compare everything: they lack the chunks
    assert offered(shop, tmp_path / "trusted") == [
        ("pump", "0.9.0", 1),
        ("pump", "1.0.0", 2),  # a component's sequences go on, whoever signs
        ("pump", "1.1.0", 3),
        ("telemetry", "1.0.0", 1),
    ]
    assert [each.component for each in releases(shop.repository)] == ["pump", "pump", "pump", "telemetry"]
    shop.publish("1.1.0")  # drops what nobody needs
    assert len(offered(shop, tmp_path / "trusted")) == 5


def test_chunks_that_wait_are_not_dropped(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    assert not [path for path in stale_files(shop.repository) if path.startswith("chunk/")]


async def test_hosts_fetch_what_a_team_signed_over_a_mirror(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        team = CryptoSigner.generate_ed25519()
        await site.shop.mirror(site.transport, let(site.shop, team, "valve/*", "@deployment/valves/*"))
        publish(site.shop, "1.0.0", team, name="valve")
        publish_document(
            site.shop.folder, DocumentKind.DEPLOYMENT, "valves", b"{}", signers=[team], now=site.shop.now
        )
        taken = refresh_metadata(site.shop.folder, signers=[site.shop.online], now=site.shop.now)
        await site.shop.mirror(site.transport, taken)
        found = {offer.component: offer for offer in await site.remote.refresh()}
        assert await site.remote.fetch(found["valve"]) == component_bytes(seed="valve1.0.0")
        (document,) = site.remote.documents()
        assert await site.remote.fetch(document) == b"{}"


def test_a_team_with_the_online_key_at_hand_publishes_at_once_under_the_top_role(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team, shop.online)
    assert ("pump", "1.0.0", 2) in offered(shop, tmp_path / "trusted")


def test_a_team_signs_nothing_but_its_own(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    with pytest.raises(InvalidConfigError, match=r"may sign pump/\*, @firmware/pump/\*, not telemetry/2"):
        publish(shop, "2.0.0", team, name="telemetry")
    with pytest.raises(InvalidConfigError, match="needs 1 of its keys"):
        publish(shop, "2.0.0", CryptoSigner.generate_ed25519())
    with pytest.raises(ConflictError, match="Role 'targets' signs pump/0"):
        publish(shop, "0.9.0", team)
    publish(shop, "1.0.0", team)
    with pytest.raises(ConflictError, match="Role 'pumps' signs"):
        publish(shop, "1.0.0", shop.online)


def test_what_a_thief_puts_in_the_way_is_not_taken_in(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    staged = shop.folder / "staged/pumps.json"
    staged.write_bytes(staged.read_bytes().replace(b"pump/1.0.0", b"pump/1.0.9"))
    with pytest.raises(InvalidConfigError, match="not signed as role 'pumps'"):
        refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda signed: signed.targets["pump/1.0.0.wasm"].custom.pop("chunks"), "chunks"),
        (lambda signed: signed.targets["pump/1.0.0.wasm"].custom.update(sequence=1), "sequence 1 twice"),
        (
            lambda signed: signed.targets["pump/1.0.0.wasm"].custom.update(sequence=2**53 - 1),
            "with sequence 9007199254740991",
        ),
        (
            lambda signed: signed.unrecognized_fields["x-edgehost-sequences"].update(pump=2**53),
            "goes on with",
        ),
        (lambda signed: setattr(signed, "expires", datetime(2026, 1, 1, tzinfo=UTC)), "it expired at"),
    ],
)
def test_one_team_cannot_have_the_whole_repository_refused_by_hosts(
    tmp_path: Path, spoil: Callable[[Any], object], why: str
) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    staged = shop.folder / "staged/pumps.json"
    metadata = Metadata[Targets].from_bytes(staged.read_bytes())
    spoil(metadata.signed)
    metadata.sign(team)
    staged.write_bytes(metadata.to_bytes())
    with pytest.raises(InvalidConfigError, match=why):
        refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    assert len(offered(shop, tmp_path / "trusted")) == 2
    staged.unlink()
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)


async def test_a_team_that_is_late_has_nothing_on_offer_and_holds_nobody_else_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_site("folder", tmp_path) as site:
        team = CryptoSigner.generate_ed25519()
        let(site.shop, team, "valve/*")
        spec = read_component_spec({"name": "valve", "version": "1.0.0", "kind": "adapter"})
        a_year_ago = site.shop.now - 364 * 86_400
        publish_release(site.shop.folder, spec, component_bytes(), signers=[team], now=a_year_ago)
        site.shop.publish("1.0.0")
        taken = refresh_metadata(site.shop.folder, signers=[site.shop.online], now=site.shop.now)
        await site.shop.mirror(site.transport, taken)
        assert "valve" in {each.component for each in await site.remote.refresh()}
        site.shop.now += 2 * 86_400
        taken = refresh_metadata(site.shop.folder, signers=[site.shop.online], now=site.shop.now)
        await site.shop.mirror(site.transport, taken)
        for _ in range(2):
            assert {each.component for each in await site.remote.refresh()} == {"pump", "telemetry"}
        assert (
            len([each for each in caplog.records if "role 'pumps' signed has expired" in each.message]) == 1
        )


@pytest.mark.parametrize("word", [2**53, "many", None])
def test_a_team_has_no_say_in_the_sequences_of_others(tmp_path: Path, word: object) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    staged = shop.folder / "staged/pumps.json"
    metadata = Metadata[Targets].from_bytes(staged.read_bytes())
    metadata.signed.unrecognized_fields["x-edgehost-sequences"]["telemetry"] = word
    metadata.sign(team)
    staged.write_bytes(metadata.to_bytes())
    shop.publish("1.1.0")
    assert ("telemetry", "1.1.0", 2) in offered(shop, tmp_path / "trusted")


def test_a_team_withdraws_its_own(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    withdraw_release(shop.folder, "pump", "1.0.0", signers=[team], now=shop.now)
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    assert ("pump", "1.0.0", 2) not in offered(shop, tmp_path / "trusted")


def test_a_teams_key_is_replaced_with_its_signature(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    fresh = CryptoSigner.generate_ed25519()
    with pytest.raises(InvalidConfigError, match="needs 1 of its keys"):
        let(shop, fresh, "pump/*")
    let(shop, fresh, "pump/*", signers=[shop.online, fresh])
    assert ("pump", "1.0.0", 2) in offered(shop, tmp_path / "trusted")
    with pytest.raises(InvalidConfigError, match=r"wasm, but may sign valve/\* only"):
        let(shop, fresh, "valve/*")


def test_a_team_that_is_let_go_has_nothing_on_offer_and_hosts_go_on(tmp_path: Path) -> None:
    shop, team = opened(tmp_path)
    publish(shop, "1.0.0", team)
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    check(shop, tmp_path / "trusted")
    undelegate(shop.folder, "pumps", signers=[shop.online], now=shop.now)
    assert offered(shop, tmp_path / "trusted") == [("pump", "0.9.0", 1), ("telemetry", "1.0.0", 1)]
    with pytest.raises(NotFoundError, match="no role 'pumps'"):
        undelegate(shop.folder, "pumps", signers=[shop.online], now=shop.now)


@pytest.mark.parametrize(
    ("role", "paths", "threshold"),
    [("targets", ["pump/*"], 1), ("Pumps", ["pump/*"], 1), ("pumps", [], 1), ("pumps", ["pump/*"], 2)],
)
def test_a_role_that_cannot_be_is_refused(
    tmp_path: Path, role: str, paths: list[str], threshold: int
) -> None:
    shop, team = opened(tmp_path)
    with pytest.raises(InvalidConfigError, match="ole"):
        delegate(
            shop.folder,
            role,
            paths=paths,
            keys=[team.public_key],
            threshold=threshold,
            signers=[shop.online],
            now=shop.now,
        )
