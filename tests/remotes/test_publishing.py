"""Publishing, withdrawing and refreshing, and what a repository says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import (
    ConflictError,
    DamagedError,
    InvalidConfigError,
    NotFoundError,
    TooLargeError,
)
from remotes.publisher import publish_release, refresh_metadata, releases, show_repository, withdraw_release
from remotes.repository import Expiry
from remotes.signed_target import TARGET_MOST_BYTES
from remotes.transport import TIMESTAMP
from tests.remotes.publishing_scene import check, signers
from tests.remotes.workshop import DAY, NOW, Workshop


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
