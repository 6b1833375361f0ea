"""A life in a data folder that cannot be written, without its process: another user's, or another's file in it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgehost.composition.life_opening import open_life
from edgehost.composition.life_withheld import Withheld, leave_when_writable, withheld_at
from edgehost.domain.errors import InvalidConfigError, UnavailableError

SOMEBODY = 54_321


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody can read; pytest's own are the tester's alone."""
    with tempfile.TemporaryDirectory(prefix="edgehost-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may write everywhere, so it is somebody else for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)


def test_a_folder_of_another_user_is_named(folder: Path) -> None:
    data = folder / "data"
    (data / "records").mkdir(parents=True)
    data.chmod(0o555)
    with as_somebody_else():
        withheld = withheld_at(data)
    data.chmod(0o755)
    assert withheld is not None
    assert withheld.code == errno.EACCES
    assert withheld.why == f"host.data is {data}, and this user may not write {data}: nothing is kept."
    assert "chown -R" in withheld.hint
    assert withheld_at(data) is None


def test_a_folder_that_cannot_even_be_read_is_no_place_to_start_from(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0)
    with as_somebody_else():
        assert withheld_at(data) is None  # and opening it is refused, as for any folder that cannot be used
    data.chmod(0o755)


def test_a_folder_below_one_that_nobody_may_enter_is_refused_as_one_that_cannot_be_used(folder: Path) -> None:
    (folder / "edgehost.toml").write_text('[host]\ndata = "closed/data"\n')
    closed = folder / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0)
    with (
        as_somebody_else(),
        pytest.raises(InvalidConfigError, match="Permission denied"),
        open_life(folder / "edgehost.toml"),
    ):
        pass
    closed.chmod(0o755)


def test_a_journal_of_another_user_is_named(folder: Path) -> None:
    data, journal = folder / "data", folder / "data" / "records" / "records-000001.journal"
    journal.parent.mkdir(parents=True)
    journal.touch()
    for path in (data, journal.parent):
        path.chmod(0o777)
    journal.chmod(0o444)
    with as_somebody_else():
        withheld = withheld_at(data)
    assert withheld is not None
    assert (withheld.code, f"may not write {journal}" in withheld.why) == (errno.EACCES, True)


def test_a_changed_file_is_taken_for_one_run_and_nothing_is_written(folder: Path) -> None:
    file, data = folder / "edgehost.toml", folder / "data"
    file.write_text("[api]\ntcp_port = 0\n")
    with open_life(file) as life:
        life.note_end()
    file.write_text('[host]\nname = "changed"\n[api]\ntcp_port = 0\n')
    data.chmod(0o555)
    with as_somebody_else():
        withheld = withheld_at(data)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    with pytest.MonkeyPatch.context() as patch:  # modules cannot be imported as somebody else
        patch.setattr("edgehost.composition.life_opening.withheld_at", lambda _data: withheld)
        patch.setattr("edgehost.adapters.storage.spare_socket._PLACES", (folder,))
        with open_life(file) as life:
            assert (life.config.host.name, life.generation.number) == ("changed", 2)
            assert withheld is not None
            assert life.withheld is withheld
            assert life.safe == f"{withheld.why} Components run from what is there."
            assert life.status()["keeps"] is False
            life.note_end()
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    data.chmod(0o755)
    with open_life(file) as life:
        assert (life.safe, life.withheld) == ("", None)
        assert (life.config.host.name, life.generation.number) == ("changed", 2)
        life.note_end()


async def test_the_host_leaves_once_its_folder_can_be_written() -> None:
    nothing = Withheld(errno.EROFS, "It is read-only.", "Mend it.")
    gone = OSError(errno.EIO, os.strerror(errno.EIO))
    looks: list[Withheld | OSError | None] = [nothing, gone, None, nothing, None]
    left: list[int] = []

    def look() -> Withheld | None:
        found = looks.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    async def leave() -> None:
        left.append(len(looks))
        if looks:
            raise UnavailableError("It is read-only again.")

    await leave_when_writable(look, leave, look_s=0)
    assert left == [2, 0]
