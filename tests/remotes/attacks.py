"""The attacks on a repository, each with the word by which it is refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from remotes.repository import Expiry
from remotes.transport import TIMESTAMP
from tests.remotes.workshop import DAY, NOW, Site, changed, meta, signed

Attack = Callable[[Site], Awaitable[None]]


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
