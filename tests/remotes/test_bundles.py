"""Bundle files: what is written can be read by anybody's tar, and what is not a bundle is refused for what it is."""

from __future__ import annotations

import asyncio
import io
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import (
    DamagedError,
    NotFoundError,
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from remotes.bundle_file import CutBundleError, MalformedBundleError, read_bundle, written_bundle
from remotes.bundle_making import bundle_contents, check_bundle, make_bundle
from remotes.delegation import delegate, undelegate
from remotes.folder_transport import open_folder_transport
from remotes.long_lived_state import long_lived_state
from remotes.publisher import publish_release, refresh_metadata
from remotes.transport import TIMESTAMP
from tests.remotes.workshop import DAY, NOW, Workshop, component_bytes

CHUNK = "chunk/" + "ab" * 32


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    shop.publish("2.0.0", name="pump")
    return shop


async def bundled(shop: Workshop, file: Path, *components: str) -> Path:
    async with open_folder_transport(shop.folder) as folder:
        await make_bundle(
            lambda path, most_bytes: folder.fetch(path, most_bytes=most_bytes), file, components=components
        )
    return file


def leftovers(folder: Path) -> list[Path]:
    """What a writer that failed forgot."""
    return list(folder.glob(".new*"))


def small_bundle(file: Path) -> bytes:
    with written_bundle(file) as bundle:
        bundle.add(TIMESTAMP, b"{}")
        bundle.add(CHUNK, b"x" * 1000)
    return file.read_bytes()


async def test_any_tar_can_look_into_a_bundle(shop: Workshop, tmp_path: Path) -> None:
    file = await bundled(shop, tmp_path / "a.edgehost-bundle")
    tar = await asyncio.create_subprocess_exec("tar", "tf", file, stdout=asyncio.subprocess.PIPE)
    listed = (await tar.communicate())[0].decode().split()
    assert listed[:2] == ["metadata/1.root.json", TIMESTAMP]
    assert sorted(listed) == sorted(read_bundle(file).members)
    with tarfile.open(file) as archive:
        for name in listed:
            member = archive.extractfile(name)
            assert member is not None
            assert member.read() == shop.file(name)


async def test_a_bundle_of_one_component_has_all_metadata_and_no_other_chunks(
    shop: Workshop, tmp_path: Path
) -> None:
    whole = read_bundle(await bundled(shop, tmp_path / "a.edgehost-bundle"))
    part = read_bundle(await bundled(shop, tmp_path / "b.edgehost-bundle", "pump"))
    assert len(part.members) < len(whole.members)
    contents = await bundle_contents(part)
    assert {path: row["whole"] for path, row in contents.targets.items()} == {
        "telemetry/1.0.0.wasm": False,
        "pump/2.0.0.wasm": True,
    }
    assert check_bundle(part, root_file=shop.root_file, now=NOW).root_version == 1
    with pytest.raises(NotFoundError, match="'pumps' is not on offer"):
        await bundled(shop, tmp_path / "c.edgehost-bundle", "pumps")
    assert not (tmp_path / "c.edgehost-bundle").exists()


async def test_what_a_team_signed_that_was_let_go_is_not_in_a_bundle(shop: Workshop, tmp_path: Path) -> None:
    team = CryptoSigner.generate_ed25519()
    delegate(
        shop.folder,
        "valves",
        paths=["valve/*"],
        keys=[team.public_key],
        signers=[shop.online, team],
        now=NOW,
    )
    spec = read_component_spec({"name": "valve", "version": "1.0.0", "kind": "adapter"})
    publish_release(shop.folder, spec, component_bytes(seed="valve"), signers=[team], now=NOW)
    refresh_metadata(shop.folder, signers=[shop.online], now=NOW)
    with_team = await bundle_contents(read_bundle(await bundled(shop, tmp_path / "a.edgehost-bundle")))
    assert "valve/1.0.0.wasm" in with_team.targets
    undelegate(shop.folder, "valves", signers=[shop.online], now=NOW)
    contents = await bundle_contents(read_bundle(await bundled(shop, tmp_path / "b.edgehost-bundle")))
    assert set(contents.targets) == {"telemetry/1.0.0.wasm", "pump/2.0.0.wasm"}
    assert "valves" not in contents.expires
    with pytest.raises(NotFoundError, match="'valve' is not on offer"):
        await bundled(shop, tmp_path / "c.edgehost-bundle", "valve")


async def test_the_same_state_makes_the_same_bundle(shop: Workshop, tmp_path: Path) -> None:
    one = await bundled(shop, tmp_path / "a.edgehost-bundle")
    two = await bundled(shop, tmp_path / "b.edgehost-bundle")
    assert one.read_bytes() == two.read_bytes()


async def test_a_damaged_repository_makes_no_bundle(shop: Workshop, tmp_path: Path) -> None:
    file = await bundled(shop, tmp_path / "a.edgehost-bundle")
    before = file.read_bytes()
    chunk = next((shop.folder / "chunk").iterdir())
    chunk.write_bytes(b"!" + chunk.read_bytes()[1:])
    with pytest.raises(DamagedError, match="other bytes"):
        await bundled(shop, file)
    chunk.unlink()
    with pytest.raises(DamagedError, match="lacks chunks"):
        await bundled(shop, file, "telemetry", "pump")
    (shop.folder / "metadata/2.snapshot.json").write_bytes(b"[]")
    with pytest.raises(DamagedError, match="no metadata"):
        await bundled(shop, file)
    assert file.read_bytes() == before
    assert not leftovers(tmp_path)


async def test_long_dates_are_in_the_bundle_and_not_in_the_repository(shop: Workshop, tmp_path: Path) -> None:
    with long_lived_state(shop.folder, [shop.online], days=300, now=NOW):
        file = await bundled(shop, tmp_path / "a.edgehost-bundle")
    bundle = read_bundle(file)
    assert check_bundle(bundle, root_file=shop.root_file, now=NOW + 299 * DAY).offers
    with pytest.raises(UntrustedReleaseError, match="freeze"):
        check_bundle(bundle, root_file=shop.root_file, now=NOW + 301 * DAY)
    own = shop.repository.timestamp()
    assert own is not None
    assert own.signed.expires.timestamp() == NOW + 30 * DAY
    assert own.signed.version == (await bundle_contents(bundle)).timestamp + 1


async def test_the_roots_own_end_is_the_limit_and_is_shown(shop: Workshop, tmp_path: Path) -> None:
    with long_lived_state(shop.folder, [shop.online], days=3000, now=NOW):
        file = await bundled(shop, tmp_path / "a.edgehost-bundle")
    until = (await bundle_contents(read_bundle(file))).valid_until
    assert until is not None
    assert until.timestamp() == NOW + 365 * DAY


def test_a_cut_bundle_is_told_from_another_file_at_every_length(tmp_path: Path) -> None:
    whole = small_bundle(tmp_path / "a.edgehost-bundle")
    file = tmp_path / "b.edgehost-bundle"
    for length in range(0, len(whole) - 1024, 100):
        file.write_bytes(whole[:length])
        with pytest.raises(CutBundleError, match="has no end"):
            read_bundle(file)
    file.write_bytes(whole)
    assert set(read_bundle(file).members) == {TIMESTAMP, CHUNK}


def test_flipped_headers_are_refused_and_flipped_content_is_the_readers_to_refuse(tmp_path: Path) -> None:
    whole = small_bundle(tmp_path / "a.edgehost-bundle")
    file = tmp_path / "b.edgehost-bundle"
    source = random.Random(7)  # noqa: S311 - must not be secret but the same
    for position in source.sample(range(512), 100):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with pytest.raises(MalformedBundleError):
            read_bundle(file)


ODD_MEMBERS: dict[str, dict[str, object]] = {
    "up": {"name": "../../etc/cron.d/x"},
    "root": {"name": "/etc/passwd"},
    "through": {"name": "metadata/../../x.json"},
    "link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "hard link": {"type": tarfile.LNKTYPE, "linkname": "metadata/1.root.json"},
    "folder": {"type": tarfile.DIRTYPE},
    "pipe": {"type": tarfile.FIFOTYPE},
    "device": {"type": tarfile.CHRTYPE},
    "long name": {"name": f"metadata/{'x' * 90}.json"},
}


@pytest.mark.parametrize("kind", ODD_MEMBERS)
def test_a_tar_of_anything_else_is_no_bundle(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.edgehost-bundle"
    info = tarfile.TarInfo("metadata/timestamp.json")
    for name, value in ODD_MEMBERS[kind].items():
        setattr(info, name, value)
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(info, io.BytesIO())
    with pytest.raises(MalformedBundleError, match="no bundle"):
        read_bundle(file)


def test_huge_and_doubled_members_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.edgehost-bundle"
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(CHUNK)
        archive.addfile(info, io.BytesIO())
        archive.addfile(info, io.BytesIO())
    with pytest.raises(MalformedBundleError, match="twice"):
        read_bundle(file)
    info.size = 5_000_000
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(MalformedBundleError, match="has 5000000 bytes"):
        read_bundle(file)
    for content in (b"\x89PNG" * 1000, b"\x1f\x8b" * 1000, b"{}" * 600):
        file.write_bytes(content)
        with pytest.raises(MalformedBundleError):
            read_bundle(file)


def test_pipes_and_folders_are_no_bundles_and_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.edgehost-bundle")
    (tmp_path / "b.edgehost-bundle").mkdir()
    for name in ("a", "b", "c"):
        with pytest.raises(RemoteUnreachableError):
            read_bundle(tmp_path / f"{name}.edgehost-bundle")


def test_a_bundle_that_changes_under_its_reader_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.edgehost-bundle"
    small_bundle(file)
    bundle = read_bundle(file)
    with pytest.raises(TooLargeError):
        bundle.read(CHUNK, 999)
    assert bundle.read(CHUNK, 1000) == b"x" * 1000
    small_bundle(file)
    with pytest.raises(RemoteUnreachableError, match="changed"):
        bundle.read(CHUNK, 1000)
    file.unlink()
    with pytest.raises(RemoteUnreachableError, match="still plugged in"):
        bundle.read(CHUNK, 1000)


def test_a_stick_that_is_pulled_while_it_is_written_holds_the_old_bundle_or_the_new_one(
    tmp_path: Path,
) -> None:
    old = small_bundle(tmp_path / "a.edgehost-bundle")
    script = """
import os, sys
from pathlib import Path
from remotes.bundle_file import written_bundle
left = [int(sys.argv[2])]
def die(name, real):
    def step(*args, **more):
        if left[0] == 0:
            os._exit(9)
        left[0] -= 1
        return real(*args, **more)
    return step
for name in ("fsync", "fchmod"):
    setattr(os, name, die(name, getattr(os, name)))
Path.replace = die("replace", Path.replace)
with written_bundle(Path(sys.argv[1])) as bundle:
    for number in range(3):
        bundle.add(f"chunk/{number:064x}", bytes(20_000))
        bundle._write = die("write", bundle._write)
"""
    codes = set()
    for steps in range(20):
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "a.edgehost-bundle", str(steps)],
            check=False, cwd=Path(__file__).parents[2], timeout=30,
        )  # fmt: skip
        codes.add(done.returncode)
        now = (tmp_path / "a.edgehost-bundle").read_bytes()
        assert now == old or len(read_bundle(tmp_path / "a.edgehost-bundle").members) == 3
        if done.returncode == 0:
            break
    assert codes == {9, 0}
