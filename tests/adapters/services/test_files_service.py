"""The service files: nothing leads out of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehost.adapters.services.confined_folder import ConfinedFolder
from edgehost.adapters.services.files_service import open_files_service
from edgehost.config_services import FilesOptions
from edgehost.domain.errors import (
    EdgehostError,
    NotFoundError,
    NotGrantedError,
    RefusedError,
    StorageFullError,
    TooLargeError,
)
from edgehost.ports.service import Service
from tests.adapters.services.service_scenes import opened


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    return secret


def secret_of(file: Path) -> str:
    return file.read_text()


async def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    async with opened("files", tmp_path) as scene:
        call = scene.service.call
        await call("write", {"path": "a/b/c.json", "json": {"n": 1}}, timeout_s=5)
        await call("write", {"path": "raw", "base64": "//4="}, timeout_s=5)
        assert await call("read", {"path": "a/b/c.json", "as": "json"}, timeout_s=5) == {"json": {"n": 1}}
        assert await call("read", {"path": "raw", "as": "base64"}, timeout_s=5) == {"base64": "//4="}
        with pytest.raises(RefusedError, match="no text"):
            await call("read", {"path": "raw"}, timeout_s=5)
        listed = await call("list", {}, timeout_s=5)
        assert [(each["name"], each["kind"]) for each in listed["entries"]] == [
            ("a", "folder"),
            ("raw", "file"),
        ]
        assert await call("delete", {"path": "raw"}, timeout_s=5) == {"deleted": True}
        assert await call("delete", {"path": "raw"}, timeout_s=5) == {"deleted": False}
        with pytest.raises(NotFoundError):
            await call("read", {"path": "raw"}, timeout_s=5)


@pytest.mark.parametrize(
    "path", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", ".", "..", "a//b", "a/.", "\0"]
)
async def test_no_path_leads_out(path: str, tmp_path: Path, outside: Path) -> None:
    async with opened("files", tmp_path) as scene:
        for function, more in (("read", {}), ("write", {"text": "x"}), ("delete", {}), ("list", {})):
            with pytest.raises(RefusedError):
                await scene.service.call(function, {"path": path, **more}, timeout_s=5)
        assert secret_of(outside) == "secret"


async def refused_everywhere(service: Service, path: str) -> None:
    for function, more in (("read", {}), ("delete", {}), ("write", {"text": "x"})):
        try:
            answer = await service.call(function, {"path": path, **more}, timeout_s=5)
        except (RefusedError, NotFoundError):
            continue
        assert answer == {"deleted": False}


async def test_links_are_not_followed_wherever_they_stand(tmp_path: Path, outside: Path) -> None:
    async with opened("files", tmp_path) as scene:
        home: Path = scene.world
        (home / "link").symlink_to(outside)
        (home / "way").symlink_to(tmp_path)
        for path in ("link", "way/secret.txt"):
            await refused_everywhere(scene.service, path)
        with pytest.raises((RefusedError, NotFoundError)):
            await scene.service.call("list", {"path": "way"}, timeout_s=5)
        assert secret_of(outside) == "secret"
        assert (home / "link").is_symlink()


async def test_pipes_and_devices_hold_nobody_up(tmp_path: Path) -> None:
    async with opened("files", tmp_path) as scene:
        os.mkfifo(scene.world / "pipe")
        await refused_everywhere(scene.service, "pipe")


async def test_sizes_are_bounded(tmp_path: Path) -> None:
    async with opened("files", tmp_path) as scene:
        call = scene.service.call
        with pytest.raises(RefusedError):
            await call("write", {"path": "big", "text": "x" * 5000}, timeout_s=5)
        (scene.world / "big").write_text("x" * 5000)
        with pytest.raises(TooLargeError):
            await call("read", {"path": "big"}, timeout_s=5)
        (scene.world / "big").unlink()
        for number in range(4):
            await call("write", {"path": f"f{number}", "text": "x" * 4000}, timeout_s=5)
        with pytest.raises(StorageFullError):
            await call("write", {"path": "f4", "text": "x" * 4000}, timeout_s=5)
        await call("write", {"path": "f0", "text": "x" * 4000}, timeout_s=5)  # replacing takes no more room
        for number in range(10):
            (scene.world / f"many{number}").touch()
        with pytest.raises(TooLargeError):
            await call("list", {}, timeout_s=5)


async def test_without_write_it_only_reads(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("there")
    options = FilesOptions(folder=tmp_path)
    async with open_files_service("files", options, lambda _name, _data: None) as service:
        assert await service.call("read", {"path": "x"}, timeout_s=5) == {"text": "there"}
        for function in ("write", "delete"):
            with pytest.raises(NotGrantedError):
                await service.call(function, {"path": "x", "text": ""}, timeout_s=5)


async def test_a_missing_folder_is_a_failed_finding_and_not_the_end(tmp_path: Path) -> None:
    options = FilesOptions(folder=tmp_path / "missing", write=True)
    async with open_files_service("files", options, lambda _name, _data: None) as service:
        assert service.health().state == "failed"
        with pytest.raises(NotFoundError):
            await service.call("read", {"path": "x"}, timeout_s=5)
        (tmp_path / "missing").mkdir()
        assert service.health().state == "ok"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(
        st.sampled_from(["..", ".", "a", "way", "link", "", "/", "\0", "secret.txt", "x" * 300]), max_size=8
    )
)
def test_whatever_the_path_nothing_outside_is_touched(tmp_path: Path, steps: list[str]) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for name, target in (("link", secret), ("way", tmp_path)):
        if not (home / name).is_symlink():
            (home / name).symlink_to(target)
    folder = ConfinedFolder(home, file_bytes=100, entries=100, total_bytes=1000)
    path = "/".join(steps)
    for act in (folder.read, folder.names, folder.delete, lambda path: folder.write(path, b"overwritten")):
        try:
            assert act(path) != b"secret"
        except EdgehostError:
            continue
    assert secret.read_text() == "secret"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home", "secret.txt"]
