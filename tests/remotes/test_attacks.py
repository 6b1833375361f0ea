"""Every attack on a repository, end to end: refused by name, and the host goes on from what it trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, UntrustedReleaseError
from remotes.publisher import refresh_metadata, withdraw_release
from remotes.repository import STANDARD_EXPIRY
from remotes.root_ceremony import rotate_root
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.attacks import ATTACKS, SIGNED_BUT_WRONG, Attack
from tests.remotes.coap_carriers import ATTACKED_CARRIERS
from tests.remotes.web_carriers import WEB_CARRIERS
from tests.remotes.workshop import DAY, NOW, Site, component_bytes, meta, open_site

CARRIERS = ("folder", "mosquitto", *WEB_CARRIERS)


@pytest.fixture(params=[*CARRIERS, *ATTACKED_CARRIERS])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def carried_attacks() -> list[Any]:
    """Each attack over each carrier; from the one server of CoAP they come by streams and by datagrams in turn."""
    return [
        pytest.param(carrier, attack, word, id=f"{carrier}-{attack.__name__}")
        for number, (attack, word) in enumerate(ATTACKS)
        for carrier in (*CARRIERS, ATTACKED_CARRIERS[number % len(ATTACKED_CARRIERS)])
    ]


@pytest.mark.parametrize(("carrier", "attack", "word"), carried_attacks())
async def test_an_attack_is_refused_by_name_and_what_was_trusted_goes_on(
    carrier: str, tmp_path: Path, attack: Attack, word: str
) -> None:
    async with open_site(carrier, tmp_path) as site:
        offers = await site.remote.refresh()
        await attack(site)
        trusted = site.trusted_files()

        with pytest.raises(UntrustedReleaseError, match=rf"'demo' is refused \({word}\)") as refusal:
            await site.remote.refresh()

        assert refusal.value.hint
        if attack not in SIGNED_BUT_WRONG:
            assert site.trusted_files()["targets.json"] == trusted["targets.json"]
        assert site.trusted_files()["clock_floor.json"] == trusted["clock_floor.json"]
        await go_on_honestly(site)
        assert {offer.component for offer in await site.remote.refresh()} >= {o.component for o in offers}


async def go_on_honestly(site: Site) -> None:
    """The attacker is gone and the clock is right; the publisher signs past the versions that a thief made."""
    site.shop.now = max(site.shop.now, NOW + 1) if site.shop.now < NOW + 31 * DAY else NOW + 1
    await site.transport.remove("metadata/2.root.json")
    for version in ("3.0.0", "3.1.0"):
        site.shop.publish(version)
    await site.shop.mirror(site.transport)


async def test_a_tampered_chunk_is_refused_and_a_right_one_taken(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        offer = (await site.remote.refresh())[-1]
        path = f"chunk/{offer.chunks[1]}"
        right = site.shop.file(path)
        await site.serve({path: bytes([right[0] ^ 1]) + right[1:]})
        with pytest.raises(UntrustedReleaseError, match="tampering"):
            await site.remote.fetch(offer)
        await site.serve({path: right})
        assert await site.remote.fetch(offer) == component_bytes(seed=offer.component + offer.version)


async def test_a_chunk_longer_than_signed_is_endless_data(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        offer = (await site.remote.refresh())[-1]
        await site.serve({f"chunk/{offer.chunks[0]}": b"x" * (CHUNK_BYTES + 1)})
        with pytest.raises(UntrustedReleaseError, match="endless data"):
            await site.remote.fetch(offer)


async def test_a_chunk_that_is_not_served_leaves_the_remote_unreachable(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        offer = (await site.remote.refresh())[-1]
        await site.transport.remove(f"chunk/{offer.chunks[0]}")
        with pytest.raises(RemoteUnreachableError, match="does not serve chunk/"):
            await site.remote.fetch(offer)


async def test_chunks_of_another_component_under_a_signed_digest_are_tampering(
    carrier: str, tmp_path: Path
) -> None:
    async with open_site(carrier, tmp_path) as site:
        await site.remote.refresh()
        targets = site.shop.targets()
        targets.version = 4
        custom = {path: target.unrecognized_fields["custom"] for path, target in targets.targets.items()}
        custom["pump/2.0.0.wasm"]["chunks"] = custom["telemetry/1.1.0.wasm"]["chunks"]
        await site.serve(site.shop.forged_state(targets, number=4))
        pump = next(offer for offer in await site.remote.refresh() if offer.component == "pump")
        with pytest.raises(UntrustedReleaseError, match="do not make up"):
            await site.remote.fetch(pump)


async def test_metadata_that_is_named_but_not_served_leaves_the_remote_unreachable(
    carrier: str, tmp_path: Path
) -> None:
    async with open_site(carrier, tmp_path) as site:
        await site.remote.refresh()
        site.shop.publish("1.2.0")
        await site.serve({TIMESTAMP: site.shop.file(TIMESTAMP)})
        with pytest.raises(RemoteUnreachableError, match=r"does not serve metadata/4\.snapshot\.json"):
            await site.remote.refresh()
        await site.shop.mirror(site.transport)
        assert len(await site.remote.refresh()) == 4


async def test_a_withdrawn_release_is_no_longer_fetched(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        offers = await site.remote.refresh()
        gone = offers[-1]
        change = withdraw_release(
            site.shop.folder, gone.component, gone.version, signers=[site.shop.online], now=site.shop.now
        )
        await site.shop.mirror(site.transport, change)
        assert gone not in await site.remote.refresh()
        with pytest.raises(UntrustedReleaseError, match="does not offer telemetry"):
            await site.remote.fetch(gone)


async def test_a_thiefs_huge_version_number_is_undone_by_new_keys(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        shop = site.shop
        await site.remote.refresh()
        snapshot = shop.file("metadata/3.snapshot.json")
        far = shop.now + 3000 * DAY
        now, shop.now = shop.now, far  # dated into the future, too, so that the clock's floor goes there
        await site.serve({TIMESTAMP: shop.forged_timestamp(meta(3, snapshot), version=2**31)})
        shop.now = now
        with pytest.raises(EdgehostError):  # the snapshot has expired by that date
            await site.remote.refresh()
        shop.publish("1.2.0")
        await shop.mirror(site.transport)
        with pytest.raises(UntrustedReleaseError, match="rollback"):
            await site.remote.refresh()

        stolen, shop.online = shop.online, CryptoSigner.generate_ed25519()
        rotate_root(
            shop.folder, online_keys=[shop.online.public_key], signers=shop.root_signers[:2], now=shop.now
        )
        refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
        await shop.mirror(site.transport)
        assert len(await site.remote.refresh()) == 4
        await site.serve(
            {TIMESTAMP: shop.forged_timestamp(meta(3, snapshot), version=2**31 + 1, signer=stolen)}
        )
        with pytest.raises(UntrustedReleaseError, match="wrong keys"):
            await site.remote.refresh()


async def test_a_clock_at_1970_does_not_keep_a_host_from_following(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        honest, site.shop.now = site.shop.now, 0.0
        assert len(await site.remote.refresh()) == 3
        site.shop.now = honest
        change = site.shop.publish("1.2.0", expiry=STANDARD_EXPIRY)
        site.shop.now = 0.0
        await site.shop.mirror(site.transport, change)
        assert len(await site.remote.refresh()) == 4


async def test_a_host_that_was_off_for_years_follows_again(carrier: str, tmp_path: Path) -> None:
    async with open_site(carrier, tmp_path) as site:
        await site.remote.refresh()
        site.shop.now = NOW + 300 * DAY
        site.shop.publish("1.2.0")
        await site.shop.mirror(site.transport)
        assert len(await site.remote.refresh()) == 4
