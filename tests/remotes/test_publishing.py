"""Keys, the root ceremony, publishing, and mirroring."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import (
    ConflictError,
    DamagedError,
    InvalidConfigError,
    NotFoundError,
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from remotes.folder_transport import open_folder_transport
from remotes.keys import generate_key, load_public_key, load_signer, needs_passphrase
from remotes.mirror import mirror_repository
from remotes.publisher import publish_release, refresh_metadata, releases, show_repository, withdraw_release
from remotes.repository import Expiry, Repository
from remotes.root_ceremony import init_repository, root_signing, rotate_root, sign_root, sign_root_file
from remotes.signed_target import TARGET_MOST_BYTES
from remotes.transport import TIMESTAMP
from remotes.trust import CheckRequest, Verdict, check_repository
from tests.remotes.workshop import DAY, NOW, Workshop, component_bytes


def check(shop: Workshop, folder: Path, root_file: Path | None = None) -> Verdict:
    """A host's check, without a process or transport between."""

    def fetch(path: str, _most_bytes: int) -> bytes | None:
        file = shop.folder / path
        return file.read_bytes() if file.is_file() else None

    return check_repository(CheckRequest("demo", folder, root_file or shop.root_file, shop.now), fetch)


def signers(count: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(count)]


# Keys


def test_a_key_pair_signs_and_its_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    public_file, keyid = generate_key(tmp_path / "fleet.key")
    assert public_file == tmp_path / "fleet.pub"
    assert stat.S_IMODE((tmp_path / "fleet.key").stat().st_mode) == 0o600
    assert load_public_key(public_file).keyid == keyid == load_signer(tmp_path / "fleet.key").public_key.keyid
    assert b"PRIVATE" not in public_file.read_bytes()


def test_a_passphrase_encrypts_the_key(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key", passphrase="correct horse")
    assert needs_passphrase(tmp_path / "fleet.key")
    assert load_signer(tmp_path / "fleet.key", passphrase="correct horse").public_key.keytype == "ed25519"
    for wrong in ("", "battery staple"):
        with pytest.raises(InvalidConfigError, match="passphrase"):
            load_signer(tmp_path / "fleet.key", passphrase=wrong)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key")
    with pytest.raises(ConflictError, match="exists"):
        generate_key(tmp_path / "fleet.key")


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key")
    (tmp_path / "fleet.key").chmod(0o644)
    with pytest.raises(InvalidConfigError, match="can be read by others") as error:
        load_signer(tmp_path / "fleet.key")
    assert "chmod 600" in error.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"keyid": 1}', b"\xff\xfe", b"x" * 20_000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.key").write_bytes(content)
    (tmp_path / "no.key").chmod(0o600)
    with pytest.raises(InvalidConfigError):
        load_public_key(tmp_path / "no.key")
    with pytest.raises(InvalidConfigError):
        load_signer(tmp_path / "no.key")


# The root


def test_two_of_three_holders_make_a_root_one_after_the_other(tmp_path: Path) -> None:
    holders, online = signers(3), signers(1)
    first = init_repository(
        tmp_path,
        root_keys=[holder.public_key for holder in holders],
        root_threshold=2,
        online_keys=[online[0].public_key],
        now=NOW,
    )
    assert (first.complete, first.missing, len(first.may_sign)) == (False, 2, 3)
    with pytest.raises(NotFoundError, match="no signed repository"):
        Repository(tmp_path).root()
    assert show_repository(tmp_path, now=NOW)["staged_root"]["missing"] == 2
    assert sign_root(tmp_path, holders[:1]).missing == 1
    assert sign_root(tmp_path, holders[:1]).missing == 1  # the same holder again
    done = sign_root(tmp_path, holders[2:])
    assert done.complete
    assert root_signing(tmp_path) is None
    assert Repository(tmp_path).root().signed.version == 1


def test_holders_sign_copies_away_from_the_repository(tmp_path: Path) -> None:
    holders, online = signers(3), signers(1)
    repository = tmp_path / "repository"
    init_repository(
        repository,
        root_keys=[holder.public_key for holder in holders],
        root_threshold=2,
        online_keys=[online[0].public_key],
        now=NOW,
    )
    copies = [tmp_path / f"stick{number}.json" for number in range(2)]
    for copy, holder in zip(copies, holders, strict=False):
        shutil.copy(repository / "staged/root.json", copy)
        assert sign_root_file(copy, [holder]) == (holder.public_key.keyid,)
    assert sign_root(repository, [], merge=copies).complete


def test_a_stranger_has_no_say_in_a_root(tmp_path: Path) -> None:
    holders = signers(2)
    keys = [holder.public_key for holder in holders]
    with pytest.raises(InvalidConfigError, match="no say"):
        init_repository(
            tmp_path, root_keys=keys, root_threshold=2, online_keys=keys[:1], signers=signers(1), now=NOW
        )


@pytest.mark.parametrize("threshold", [0, 3])
def test_a_threshold_that_cannot_be_met_is_refused(tmp_path: Path, threshold: int) -> None:
    keys = [holder.public_key for holder in signers(2)]
    with pytest.raises(InvalidConfigError, match="cannot be required"):
        init_repository(tmp_path, root_keys=keys, root_threshold=threshold, online_keys=keys, now=NOW)


def test_a_key_given_twice_does_not_count_twice(tmp_path: Path) -> None:
    key = signers(1)[0].public_key
    with pytest.raises(InvalidConfigError, match="given twice"):
        init_repository(tmp_path, root_keys=[key, key], root_threshold=2, online_keys=[key], now=NOW)


def test_a_second_repository_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    with pytest.raises(ConflictError, match="There is a repository"):
        init_repository(
            tmp_path,
            root_keys=[shop.online.public_key],
            root_threshold=1,
            online_keys=[shop.online.public_key],
            now=NOW,
        )


def test_new_root_keys_are_accepted_by_hosts_that_knew_the_old_ones(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    check(shop, tmp_path / "trusted")
    fresh = signers(3)
    waiting = rotate_root(
        shop.folder,
        root_keys=[signer.public_key for signer in fresh],
        root_threshold=2,
        signers=fresh[:2],
        now=NOW,
    )
    assert not waiting.complete  # the old holders have not agreed
    assert check(shop, tmp_path / "trusted").root_version == 1
    assert sign_root(shop.folder, shop.root_signers[:1]).missing == 1
    assert sign_root(shop.folder, shop.root_signers[1:2]).complete
    refresh_metadata(shop.folder, signers=[shop.online], now=NOW)
    assert check(shop, tmp_path / "trusted").root_version == 2
    # And the next one needs the new holders only.
    rotate_root(shop.folder, root_threshold=3, signers=fresh, now=NOW)
    assert check(shop, tmp_path / "trusted").root_version == 3
    assert check(shop, tmp_path / "newcomer").root_version == 3


def test_new_online_keys_sign_everything_again(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    check(shop, tmp_path / "trusted")
    shop.online = signers(1)[0]
    rotate_root(shop.folder, online_keys=[shop.online.public_key], signers=shop.root_signers[:2], now=NOW)
    refresh_metadata(shop.folder, signers=[shop.online], now=NOW)
    assert [offer.version for offer in check(shop, tmp_path / "trusted").offers] == ["1.0.0"]


def test_only_one_root_waits_at_a_time_and_what_waits_can_be_seen(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    rotate_root(shop.folder, root_threshold=3, now=NOW)
    with pytest.raises(ConflictError, match="still waits"):
        rotate_root(shop.folder, root_threshold=1, now=NOW)
    assert show_repository(shop.folder, now=NOW)["staged_root"]["version"] == 2


def test_a_copy_of_another_root_is_not_merged(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    rotate_root(shop.folder, root_threshold=3, now=NOW)
    with pytest.raises(InvalidConfigError, match="another root"):
        sign_root(shop.folder, [], merge=[shop.root_file])
    with pytest.raises(InvalidConfigError, match="no root"):
        sign_root(shop.folder, [], merge=[tmp_path / "absent"])
    shop.publish("1.0.0")
    with pytest.raises(InvalidConfigError, match="not a root"):
        sign_root_file(shop.folder / TIMESTAMP, shop.root_signers)


def test_signing_without_a_waiting_root_says_so(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    with pytest.raises(NotFoundError, match="No root waits"):
        sign_root(shop.folder, shop.root_signers)


# Publishing


def test_each_publication_has_the_next_sequence_and_a_withdrawal_takes_none_back(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    assert [shop.publish(f"1.{n}.0").release.sequence for n in range(3)] == [1, 2, 3]  # type: ignore[union-attr]
    withdraw_release(shop.folder, "telemetry", "1.2.0", signers=[shop.online], now=NOW)
    assert shop.publish("1.3.0").release.sequence == 4  # type: ignore[union-attr]
    assert [release.version for release in releases(shop.repository)] == ["1.0.0", "1.1.0", "1.3.0"]


def test_publishing_the_same_bytes_again_brings_a_release_back(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    shop.publish("1.1.0")
    shop.publish("1.0.0")
    assert [release.version for release in releases(shop.repository)] == ["1.1.0", "1.0.0"]


def test_a_version_is_one_set_of_bytes_for_ever(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    with pytest.raises(ConflictError, match="with other bytes") as error:
        shop.publish("1.0.0", content=b"others")
    assert "raise the version" in error.value.hint


def test_old_releases_make_room_and_their_files_go_one_state_later(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    for number in range(6):
        shop.publish(f"1.{number}.0", keep=2)
    assert [release.version for release in releases(shop.repository)] == ["1.4.0", "1.5.0"]
    kept = {chunk for release in releases(shop.repository) for chunk in release.chunks}
    on_disk = {file.name for file in (shop.folder / "chunk").iterdir()}
    assert kept < on_disk  # a reader of the state before may be at work
    assert len(on_disk) <= 4 * 2


@pytest.mark.parametrize("size", [0, TARGET_MOST_BYTES + 1])
def test_what_no_host_would_take_is_not_published(tmp_path: Path, size: int) -> None:
    shop = Workshop(tmp_path)
    with pytest.raises(TooLargeError):
        shop.publish("1.0.0", content=b"x" * size)


def test_publishing_needs_a_repository_and_its_key(tmp_path: Path) -> None:
    spec = read_component_spec({"name": "telemetry", "version": "1.0.0", "kind": "adapter"})
    with pytest.raises(NotFoundError, match="no signed repository"):
        publish_release(tmp_path / "empty", spec, b"x", signers=signers(1), now=NOW)
    shop = Workshop(tmp_path / "repository")
    with pytest.raises(InvalidConfigError, match="online key"):
        publish_release(shop.folder, spec, b"x", signers=signers(1), now=NOW)


def test_two_publishers_do_not_work_at_once(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    with shop.repository.locked(), pytest.raises(ConflictError, match="Somebody else"):
        shop.publish("1.0.0")


def test_withdrawing_what_is_not_there_says_so(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    with pytest.raises(NotFoundError, match="not on offer"):
        withdraw_release(shop.folder, "telemetry", "9.9.9", signers=[shop.online], now=NOW)


def test_a_refresh_signs_the_timestamp_alone_until_the_rest_is_half_way_to_its_expiry(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    expiry = Expiry(snapshot_days=10)
    shop.publish("1.1.0", expiry=expiry)
    light = refresh_metadata(shop.folder, signers=[shop.online], expiry=expiry, now=NOW + DAY)
    assert light.fresh == {TIMESTAMP}
    heavy = refresh_metadata(shop.folder, signers=[shop.online], expiry=expiry, now=NOW + 6 * DAY)
    assert "metadata/3.snapshot.json" in heavy.fresh
    shop.now = NOW + 6 * DAY
    assert len(check(shop, tmp_path / "trusted").offers) == 2


def test_an_empty_repository_can_be_followed_from_the_start(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    refresh_metadata(shop.folder, signers=[shop.online], now=NOW)
    assert check(shop, tmp_path / "trusted").offers == ()


def test_showing_a_repository_tells_what_people_ask(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    shown = show_repository(shop.folder, now=NOW)
    assert shown["root"]["threshold"] == 2
    assert len(shown["root"]["keys"]) == 3
    assert shown["roles"]["timestamp"]["days_left"] == 30
    assert [row["version"] for row in shown["releases"]] == ["1.0.0"]
    json.dumps(shown)


def test_a_damaged_repository_is_said_to_be_damaged(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.publish("1.0.0")
    (shop.folder / "metadata/1.snapshot.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"1\.snapshot\.json"):
        shop.publish("1.1.0")
    (shop.folder / "metadata/1.snapshot.json").unlink()
    with pytest.raises(DamagedError, match="missing"):
        show_repository(shop.folder, now=NOW)


# Mirroring


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
