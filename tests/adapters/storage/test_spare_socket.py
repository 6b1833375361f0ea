from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgehost.adapters.storage import spare_socket as module
from edgehost.adapters.storage.spare_socket import spare_socket, spare_sockets

GONE = Path("/no/such/folder")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    places = [tmp_path / "first", tmp_path / "second"]
    for place in places:
        place.mkdir()
    monkeypatch.setattr(module, "_PLACES", (tmp_path / "missing", *places))
    return places


def test_the_socket_stays_where_it_is_wanted_when_it_can_be_made_there(
    tmp_path: Path, memory: list[Path]
) -> None:
    wanted = tmp_path / "edgehost.sock"
    assert spare_socket(wanted, Path("/proc")) == wanted
    assert list(spare_sockets(wanted)) == []
    assert spare_socket(wanted, memory[1]) != wanted  # on the disk that takes nothing


def test_a_spare_socket_is_found_by_the_wanted_place_alone(tmp_path: Path, memory: list[Path]) -> None:
    wanted = tmp_path / "not made" / "edgehost.sock"
    spare = spare_socket(wanted, GONE)
    assert spare.parent.parent == memory[0]
    assert spare.parent.stat().st_mode & 0o777 == 0o700
    assert list(spare_sockets(wanted)) == [spare]
    assert list(spare_sockets(tmp_path / "other" / "edgehost.sock")) == []


def test_a_folder_that_others_can_enter_or_have_made_is_passed_over(
    tmp_path: Path, memory: list[Path]
) -> None:
    wanted = tmp_path / "not made" / "edgehost.sock"
    first = spare_socket(wanted, GONE).parent
    first.chmod(0o777)
    spare = spare_socket(wanted, GONE)
    assert spare.parent.parent == memory[1]
    assert list(spare_sockets(wanted)) == [spare]
    spare.parent.rmdir()
    spare.parent.symlink_to(tmp_path)
    assert spare_socket(wanted, GONE) == wanted
    assert list(spare_sockets(wanted)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root finds what belongs to others")
def test_root_finds_the_socket_of_the_hosts_user(tmp_path: Path, memory: list[Path]) -> None:
    wanted = tmp_path / "data" / "edgehost.sock"
    wanted.parent.mkdir()
    os.chown(wanted.parent, 12_345, 12_345)
    folder = next(module._folders(wanted, 12_345))
    other = next(path for path in module._folders(wanted, 12_345) if path.parent == memory[0])
    other.mkdir(mode=0o700)
    assert list(spare_sockets(wanted)) == []
    os.chown(other, 12_345, 12_345)
    assert list(spare_sockets(wanted)) == [other / "edgehost.sock"]
    assert not folder.exists()
