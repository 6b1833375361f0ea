"""Every attack on a repository, end to end: refused by name, and the host goes on from what it trusted."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, UntrustedReleaseError
from remotes.repository import STANDARD_EXPIRY, Expiry
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.coap_carriers import ATTACKED_CARRIERS
from tests.remotes.web_carriers import WEB_CARRIERS
from tests.remotes.workshop import DAY, NOW, Site, changed, component_bytes, meta, open_site, signed

Attack = Callable[[Site], Awaitable[None]]
CARRIERS = ("folder", "mosquitto", *WEB_CARRIERS)


@pytest.fixture(params=[*CARRIERS, *ATTACKED_CARRIERS])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def replay_an_old_timestamp(site: Site) -> None:
    old = site.shop.file(TIMESTAMP)
    await accept_another_release(site)
    await site.serve({TIMESTAMP: old})


async def replay_the_whole_old_repository(site: Site) -> None:
    old = site.shop.files()
    await accept_another_release(site)
    await site.serve({path: content for path, content in old.items() if path != TIMESTAMP})
    await site.serve({TIMESTAMP: old[TIMESTAMP]})


async def roll_back_the_snapshot(site: Site) -> None:
    old = site.shop.file("metadata/2.snapshot.json")
    await site.serve({TIMESTAMP: site.shop.forged_timestamp(meta(2, old), version=4)})


async def roll_back_the_targets(site: Site) -> None:
    old = site.shop.file("metadata/2.targets.json")
    await site.serve(site.shop.forged_state({"targets.json": meta(2, old)}, number=4))


async def leave_the_targets_out(site: Site) -> None:
    await site.serve(site.shop.forged_state({}, number=4))


async def serve_the_old_root_as_the_next(site: Site) -> None:
    await site.serve({"metadata/2.root.json": site.shop.file("metadata/1.root.json")})


async def hold_back_new_timestamps(site: Site) -> None:
    site.shop.now = NOW + 31 * DAY


async def hold_back_with_a_clock_far_ahead(site: Site) -> None:
    site.shop.now = NOW + 3650 * DAY


async def serve_an_expired_timestamp_to_a_clock_at_1970(site: Site) -> None:
    site.shop.publish("1.2.0", expiry=Expiry(timestamp_days=1))
    short_lived = site.shop.files()
    site.shop.repository.folder.joinpath(TIMESTAMP).write_bytes(short_lived[TIMESTAMP])
    # The host has seen that time is ten days further.
    site.shop.now = NOW + 10 * DAY
    assert await site.remote.refresh()
    site.shop.now = 0.0
    await site.serve(short_lived)


async def mix_in_another_snapshot(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files["metadata/4.snapshot.json"] = files["metadata/3.snapshot.json"]
    await site.serve(files)


async def mix_in_other_targets(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files["metadata/4.targets.json"] = files["metadata/3.targets.json"]
    await site.serve(files)


async def tamper_with_the_targets(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files["metadata/4.targets.json"] = files["metadata/4.targets.json"].replace(b"telemetry", b"telemetrz")
    await site.serve(files)


async def tamper_with_the_snapshot(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files["metadata/4.snapshot.json"] = files["metadata/4.snapshot.json"].replace(
        b'"spec_version":"1', b'"spec_version":"2'
    )
    assert files["metadata/4.snapshot.json"] != site.shop.file("metadata/4.snapshot.json")
    await site.serve(files)


async def tamper_with_the_timestamp(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files[TIMESTAMP] = changed(files[TIMESTAMP], "signed", "version", to=9)
    await site.serve(files)


async def sign_with_a_strangers_key(site: Site) -> None:
    stranger = CryptoSigner.generate_ed25519()
    snapshot = site.shop.file("metadata/3.snapshot.json")
    await site.serve({TIMESTAMP: site.shop.forged_timestamp(meta(3, snapshot), version=4, signer=stranger)})


def next_root(site: Site) -> Root:
    root = site.shop.repository.root().signed
    root.version = 2
    return root


async def sign_the_next_root_with_one_of_three(site: Site) -> None:
    await site.serve({"metadata/2.root.json": signed(next_root(site), site.shop.root_signers[:1])})


async def sign_the_next_root_twice_with_one_key(site: Site) -> None:
    document = json.loads(signed(next_root(site), site.shop.root_signers[:1]))
    document["signatures"] *= 2
    await site.serve({"metadata/2.root.json": json.dumps(document).encode()})


async def sign_the_next_root_with_new_keys_alone(site: Site) -> None:
    root, thieves = next_root(site), [CryptoSigner.generate_ed25519() for _ in range(2)]
    for signer in site.shop.root_signers:
        root.revoke_key(signer.public_key.keyid, "root")
    for thief in thieves:
        root.add_key(thief.public_key, "root")
    await site.serve({"metadata/2.root.json": signed(root, thieves)})


async def sign_the_next_root_with_old_keys_alone(site: Site) -> None:
    root = next_root(site)
    for signer in site.shop.root_signers:
        root.revoke_key(signer.public_key.keyid, "root")
    for _ in range(2):
        root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    await site.serve({"metadata/2.root.json": signed(root, site.shop.root_signers)})


async def serve_an_endless_timestamp(site: Site) -> None:
    await site.serve({TIMESTAMP: b" " * 100_000})


async def serve_an_endless_root(site: Site) -> None:
    await site.serve({"metadata/2.root.json": b" " * 900_000})


async def serve_longer_targets_than_signed(site: Site) -> None:
    site.shop.publish("1.2.0")
    files = site.shop.files()
    files["metadata/4.targets.json"] += b" " * 1000
    await site.serve(files)


async def serve_garbage(site: Site) -> None:
    await site.serve({TIMESTAMP: bytes(range(256)) * 4})


async def serve_deep_nesting(site: Site) -> None:
    await site.serve({TIMESTAMP: b"[" * 16_000})


async def serve_a_number_that_has_no_canonical_form(site: Site) -> None:
    content = site.shop.file(TIMESTAMP)
    await site.serve({TIMESTAMP: changed(content, "signed", "x", to=1.5)})


async def serve_a_snapshot_as_the_timestamp(site: Site) -> None:
    await site.serve({TIMESTAMP: site.shop.file("metadata/3.snapshot.json")})


async def sign_a_release_under_another_components_name(site: Site) -> None:
    targets = site.shop.targets()
    targets.version = 4
    targets.targets["pump/2.0.0.wasm"].unrecognized_fields["custom"]["component"] = "telemetry"
    await site.serve(site.shop.forged_state(targets, number=4))


async def sign_a_custom_field_that_lies(site: Site) -> None:
    targets = site.shop.targets()
    targets.version = 4
    targets.targets["pump/2.0.0.wasm"].unrecognized_fields["custom"]["sequence"] = "first"
    await site.serve(site.shop.forged_state(targets, number=4))


async def accept_another_release(site: Site) -> None:
    await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
    assert len(await site.remote.refresh()) == 4


ATTACKS: tuple[tuple[Attack, str], ...] = (
    (replay_an_old_timestamp, "rollback"),
    (replay_the_whole_old_repository, "rollback"),
    (roll_back_the_snapshot, "rollback"),
    (roll_back_the_targets, "rollback"),
    (leave_the_targets_out, "rollback"),
    (serve_the_old_root_as_the_next, "rollback"),
    (hold_back_new_timestamps, "freeze"),
    (hold_back_with_a_clock_far_ahead, "freeze"),
    (serve_an_expired_timestamp_to_a_clock_at_1970, "freeze"),
    (mix_in_another_snapshot, "mix-and-match"),
    (mix_in_other_targets, "mix-and-match"),
    (tamper_with_the_targets, "tampering"),
    (tamper_with_the_snapshot, "tampering"),
    (tamper_with_the_timestamp, "wrong keys"),
    (sign_with_a_strangers_key, "wrong keys"),
    (sign_the_next_root_with_one_of_three, "wrong keys"),
    (sign_the_next_root_twice_with_one_key, "malformed metadata"),
    (sign_the_next_root_with_new_keys_alone, "wrong keys"),
    (sign_the_next_root_with_old_keys_alone, "wrong keys"),
    (serve_an_endless_timestamp, "endless data"),
    (serve_an_endless_root, "endless data"),
    (serve_longer_targets_than_signed, "endless data"),
    (serve_garbage, "malformed metadata"),
    (serve_deep_nesting, "malformed metadata"),
    (serve_a_number_that_has_no_canonical_form, "malformed metadata"),
    (serve_a_snapshot_as_the_timestamp, "malformed metadata"),
    (sign_a_release_under_another_components_name, "malformed metadata"),
    (sign_a_custom_field_that_lies, "malformed metadata"),
)
#: For TUF the publisher has the right to sign these; the check that refuses them is ours.
SIGNED_BUT_WRONG = (sign_a_release_under_another_components_name, sign_a_custom_field_that_lies)


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
    from remotes.publisher import withdraw_release  # noqa: PLC0415 - the other tests do not withdraw

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
    from remotes.publisher import refresh_metadata  # noqa: PLC0415 - the other tests do not rotate
    from remotes.root_ceremony import rotate_root  # noqa: PLC0415

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
