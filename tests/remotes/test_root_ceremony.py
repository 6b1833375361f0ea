"""The root ceremony: holders that sign one after the other, and new keys that hosts accept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgehost.domain.errors import ConflictError, InvalidConfigError, NotFoundError
from remotes.publisher import refresh_metadata, show_repository
from remotes.repository import Repository
from remotes.root_ceremony import init_repository, root_signing, rotate_root, sign_root, sign_root_file
from remotes.transport import TIMESTAMP
from tests.remotes.publishing_scene import check, signers
from tests.remotes.workshop import NOW, Workshop


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
