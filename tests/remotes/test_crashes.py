"""Killed before any rename, or out of disk: what is on the disk is the old state or the new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidConfigError
from remotes.folder_transport import open_folder_transport
from remotes.keys import generate_key, load_signer
from remotes.mirror import mirror_repository
from remotes.publisher import publish_release, refresh_metadata, releases, show_repository
from remotes.repository import Repository
from remotes.root_ceremony import init_repository
from remotes.trust import CheckRequest, Verdict, check_repository
from tests.remotes.workshop import NOW

SCRIPT = Path(__file__).with_name("dying_process.py")
MOST_RENAMES = 40


def run(step: str, when: str, folder: Path) -> int:
    """The exit code of the step that dies."""
    root = str(SCRIPT.parents[2])
    return subprocess.run(
        [sys.executable, str(SCRIPT), step, when, str(folder)], check=False, cwd=root, timeout=50
    ).returncode


def publish(folder: Path, version: str, key: str = "online") -> None:
    spec = read_component_spec({"name": "telemetry", "version": version, "kind": "adapter"})
    signers = [load_signer(folder / f"{key}.key")]
    publish_release(folder / "repository", spec, version.encode() * 20_000, signers=signers, now=NOW)


def check(folder: Path) -> Verdict:
    place = folder / "repository"

    def fetch(path: str, _most_bytes: int) -> bytes | None:
        return (place / path).read_bytes() if (place / path).is_file() else None

    request = CheckRequest("demo", folder / "trusted", place / "metadata/1.root.json", NOW)
    return check_repository(request, fetch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one release, made with keys in files."""
    keys = {}
    for name in ("root", "online", "next"):
        generate_key(tmp_path / f"{name}.key")
        keys[name] = load_signer(tmp_path / f"{name}.key")
    init_repository(
        tmp_path / "repository",
        root_keys=[keys["root"].public_key],
        root_threshold=1,
        online_keys=[keys["online"].public_key],
        signers=[keys["root"]],
        now=NOW,
    )
    publish(tmp_path, "1.0.0")
    return tmp_path


@pytest.mark.parametrize("first_time", [True, False], ids=["first check", "later check"])
def test_a_check_killed_at_any_write_is_made_up_for_by_the_next(folder: Path, *, first_time: bool) -> None:
    older: dict[str, bytes] = {}
    if not first_time:
        check(folder)
        for name in ("timestamp", "snapshot", "targets"):
            older[name] = (folder / "trusted" / f"{name}.json").read_bytes()
        publish(folder, "2.0.0")
    for number in range(MOST_RENAMES):
        code = run("check", str(number), folder)
        trusted = check(folder)
        assert {offer.version for offer in trusted.offers} == (
            {"1.0.0"} if first_time else {"1.0.0", "2.0.0"}
        )
        if code == 0:
            break
        assert code == 9
        # Back to before for the next death, one write later.
        if first_time:
            for file in sorted((folder / "trusted").rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
        else:
            for name in ("timestamp", "snapshot", "targets"):
                (folder / "trusted" / f"{name}.json").write_bytes(older[name])
    else:
        pytest.fail("the check never came to its end")
    assert number > 2


async def test_a_publication_killed_at_any_write_leaves_the_old_or_the_new_state(folder: Path) -> None:
    before = (folder / "repository/metadata/timestamp.json").read_bytes()
    number = 0
    while (code := run("publish", str(number), folder)) != 0:
        assert code == 9
        repository = Repository(folder / "repository")
        assert [release.version for release in releases(repository)] == ["1.0.0"]
        assert (folder / "repository/metadata/timestamp.json").read_bytes() == before
        assert show_repository(folder / "repository", now=NOW)["releases"]
        number += 1
        assert number < MOST_RENAMES
    assert number > 3
    assert {offer.version for offer in check(folder).offers} == {"1.0.0", "9.0.0"}
    (folder / "mirror").mkdir()
    async with open_folder_transport(folder / "mirror") as transport:
        await mirror_repository(Repository(folder / "repository"), transport)


def test_a_rotation_killed_at_any_write_can_be_finished(folder: Path) -> None:
    check(folder)
    number = 0
    while (code := run("rotate", str(number), folder)) != 0:
        assert code == 9
        repository = folder / "repository"
        if len(Repository(repository).root_versions()) > 1:
            # The new root is in force; what is left to do is what the CLI does anyway.
            refresh_metadata(repository, signers=[load_signer(folder / "next.key")], now=NOW)
            assert check(folder).root_version >= 2
            return
        assert check(folder).root_version == 1
        (repository / "staged/root.json").unlink(missing_ok=True)
        number += 1
        assert number < MOST_RENAMES
    assert check(folder).root_version == 2


@pytest.mark.parametrize("step", ["check", "publish", "rotate"])
def test_a_full_disk_is_said_and_changes_nothing(folder: Path, step: str) -> None:
    before = (folder / "repository/metadata/timestamp.json").read_bytes()
    assert run(step, "full", folder) == 28
    assert (folder / "repository/metadata/timestamp.json").read_bytes() == before
    assert {offer.version for offer in check(folder).offers} == {"1.0.0"}


def test_keys_of_others_are_named_when_signing(folder: Path) -> None:
    with pytest.raises(InvalidConfigError, match="needs 1 of its keys; 0 given"):
        publish(folder, "2.0.0", key="next")


@pytest.mark.parametrize(
    "name", ["timestamp.json", "targets.json", "root_history/1.root.json", "clock_floor.json"]
)
def test_a_folder_in_the_place_of_a_trusted_file_goes_and_is_told(folder: Path, name: str) -> None:
    check(folder)
    (folder / "trusted" / name).unlink()
    (folder / "trusted" / name / "inside").mkdir(parents=True)
    verdict = check(folder)
    assert verdict.damaged == (Path(name).name,)
    assert len(verdict.offers) == 1
    assert check(folder).damaged == ()
