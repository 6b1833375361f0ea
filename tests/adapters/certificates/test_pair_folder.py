"""Pairs on a disk that loses power at every step: the old pair or the new one, never half of each."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgehost.adapters.certificates.pair_folder import PairDisk, PairFolder
from edgehost.domain.certificate_life import RenewalNotes
from edgehost.domain.errors import StorageFullError, UnavailableError
from edgehost.ports.certificate_authority import Pair

OLD, NEW, NEXT = (
    Pair(f"{name} certificate".encode(), f"{name} key".encode()) for name in ("old", "new", "next")
)


class PowerCutError(BaseException):
    """The machine stops here."""


class CutDisk(PairDisk):
    """Stops before step ``stop_at``; then ``lose_names`` takes back what was done to folders that were not synced."""

    def __init__(self, stop_at: int = 1 << 30) -> None:
        self.stop_at = stop_at
        self.steps = 0
        self._undo: list[tuple[Path, Callable[[], None]]] = []

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.stop_at:
            raise PowerCutError

    def make_folder(self, folder: Path) -> None:
        self._step()
        super().make_folder(folder)
        self._undo.append((folder.parent, lambda: PairDisk.remove(self, folder)))

    def write(self, path: Path, content: bytes, mode: int) -> None:
        self._step()
        path.write_bytes(content[: len(content) // 2])
        self._step()
        path.write_bytes(content)
        path.chmod(mode)
        self._undo.append((path.parent, lambda: path.unlink(missing_ok=True)))

    def link(self, path: Path, target: str) -> None:
        self._step()
        super().link(path, target)
        self._undo.append((path.parent, lambda: path.unlink(missing_ok=True)))

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        before = _kept(target)
        super().rename(source, target)
        self._undo.append((target.parent, lambda: before(target)))

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)  # the removal reaches the medium first: the worst of what may happen

    def sync_folder(self, folder: Path) -> None:
        self._step()
        assert folder.is_dir()
        self._undo = [each for each in self._undo if each[0] != folder]

    def lose_names(self) -> None:
        """What the medium holds when nothing that was not synced has reached it."""
        for _, undo in reversed(self._undo):
            undo()


def _kept(path: Path) -> Callable[[Path], None]:
    """Brings back what is under a name now."""
    if path.is_symlink():
        target = path.readlink()

        def again(where: Path) -> None:
            where.unlink(missing_ok=True)
            where.symlink_to(target)

    elif path.exists():
        content = path.read_bytes()

        def again(where: Path) -> None:
            where.unlink(missing_ok=True)
            where.write_bytes(content)

    else:

        def again(where: Path) -> None:
            where.unlink(missing_ok=True)

    return again


def folder_with(folder: Path, pair: Pair | None, disk: PairDisk | None = None) -> PairFolder:
    """A host's folder; the pair lies there as an operator has put it."""
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    if pair is not None:
        (folder / "etc" / "host.crt").write_bytes(pair.certificate)
        (folder / "etc" / "host.key").write_bytes(pair.key)
    return PairFolder(
        folder / "data" / "gate", folder / "etc" / "host.crt", folder / "etc" / "host.key", disk=disk
    )


def by_hand(scratch: Path) -> None:
    """What an operator leaves behind."""
    folder_with(scratch, OLD)


def nothing(scratch: Path) -> None:
    """No certificate at all."""
    folder_with(scratch, None)


def cuts(
    work: Callable[[PairFolder], None], prepare: Callable[[Path], None], folder: Path
) -> Iterator[PairFolder]:
    """The folder as the next start finds it, for a power cut before every step, with and without what was not synced."""
    stop_at, is_over = 0, False
    while not is_over:
        for lose in (False, True):
            scratch = folder / f"{stop_at}-{lose}"
            prepare(scratch)
            disk = CutDisk(stop_at)
            try:
                work(folder_with(scratch, None, disk))
                is_over = True
            except PowerCutError:
                pass
            if lose:
                disk.lose_names()
            yield folder_with(scratch, None)
        stop_at += 1
    assert stop_at > 3


def test_at_every_power_cut_the_first_renewal_leaves_the_operators_pair_or_the_new_one(
    tmp_path: Path,
) -> None:
    seen = set()
    for found in cuts(lambda it: it.put(NEW), by_hand, tmp_path):
        assert found.current() in {OLD, NEW}
        seen.add(found.current() == NEW)
        found.mend()
        assert found.current() in {OLD, NEW}
        found.put(NEXT)  # and it goes on from there
        assert found.current() == NEXT
    assert seen == {False, True}


def test_at_every_power_cut_a_later_renewal_leaves_the_old_pair_or_the_new_one(tmp_path: Path) -> None:
    def prepare(scratch: Path) -> None:
        folder_with(scratch, OLD).put(NEW)

    seen = set()
    for found in cuts(lambda it: it.put(NEXT), prepare, tmp_path):
        pair, before = found.current(), found.last_good()
        assert (pair, before) in {(NEW, OLD), (NEW, NEW), (NEXT, NEW)}
        seen.add(pair == NEXT)
    assert seen == {False, True}


def test_at_every_power_cut_going_back_leaves_one_of_the_two(tmp_path: Path) -> None:
    def prepare(scratch: Path) -> None:
        folder_with(scratch, OLD).put(NEW)

    assert {found.current() for found in cuts(lambda it: it.put_back(), prepare, tmp_path)} == {OLD, NEW}


def test_at_every_power_cut_a_first_pair_of_all_is_there_or_not(tmp_path: Path) -> None:
    for found in cuts(lambda it: it.put(NEW), nothing, tmp_path):
        found.mend()
        assert found.current() in {None, NEW}


def test_at_every_power_cut_a_request_is_kept_with_its_key_or_not_at_all(tmp_path: Path) -> None:
    def prepare(scratch: Path) -> None:
        folder_with(scratch, OLD).keep_pending(b"key 1", b"request 1")

    for found in cuts(lambda it: it.keep_pending(b"key 2", b"request 2"), prepare, tmp_path):
        assert found.pending() in {(b"key 1", b"request 1"), (b"key 2", b"request 2"), None}


def test_at_every_power_cut_notes_are_the_old_ones_or_the_new_ones(tmp_path: Path) -> None:
    old, new = RenewalNotes().tried(1.0), RenewalNotes().tried(2.0)
    for found in cuts(lambda it: it.note(new), lambda scratch: folder_with(scratch, OLD).note(old), tmp_path):
        assert found.notes() in {old, new}


def test_the_key_is_the_hosts_own_and_nothing_is_left_over(tmp_path: Path) -> None:
    it = folder_with(tmp_path, OLD)
    for pair in (NEW, NEXT, NEW, NEXT):
        it.put(pair)
    assert it.last_good() == NEW
    files = [each for each in (tmp_path / "data").rglob("*") if each.is_file() and not each.is_symlink()]
    assert sorted(each.name for each in files) == ["certificate.pem"] * 2 + ["key.pem"] * 2
    for each in files:
        assert each.name != "key.pem" or stat.S_IMODE(each.stat().st_mode) == 0o600
    assert sorted(each.name for each in (tmp_path / "etc").iterdir()) == ["host.crt", "host.key"]


def test_the_configuration_may_name_the_folder_of_the_pairs_itself(tmp_path: Path) -> None:
    used = tmp_path / "data" / "gate" / "current"
    it = PairFolder(tmp_path / "data" / "gate", used / "certificate.pem", used / "key.pem")
    assert it.current() is None
    it.put(OLD)
    it.put(NEW)
    it.mend()
    assert (it.current(), it.last_good()) == (NEW, OLD)
    it.put_back()
    assert it.current() == OLD


def test_files_that_somebody_puts_there_by_hand_are_taken_in(tmp_path: Path) -> None:
    it = folder_with(tmp_path, OLD)
    it.put(NEW)
    for name, content in (("host.crt", NEXT.certificate), ("host.key", NEXT.key)):
        (tmp_path / "fresh").write_bytes(content)
        (tmp_path / "fresh").replace(tmp_path / "etc" / name)
    assert it.current() == NEXT
    it.put(OLD)
    assert (it.current(), it.last_good()) == (OLD, NEXT)


def test_links_of_somebody_else_stay_and_lead_to_the_pair_in_use(tmp_path: Path) -> None:
    """As certbot has it: live/NAME leads to archive/NAME, which its own renewal leaves for a new file."""
    it, etc, archive = folder_with(tmp_path, OLD), tmp_path / "etc", tmp_path / "archive"
    archive.mkdir()

    def by_certbot(number: int, pair: Pair) -> None:
        for name, content in (("host.crt", pair.certificate), ("host.key", pair.key)):
            (archive / f"{number}.{name}").write_bytes(content)
            (tmp_path / "fresh").symlink_to(Path("..", "archive", f"{number}.{name}"))
            (tmp_path / "fresh").replace(etc / name)

    by_certbot(1, OLD)
    it.put(NEW)
    it.put(NEXT)
    assert (it.current(), it.last_good()) == (NEXT, NEW)
    assert (etc / "host.key").readlink() == Path("../archive/1.host.key")
    assert sorted(each.name for each in archive.iterdir()) == ["1.host.crt", "1.host.key"]
    by_certbot(2, OLD)
    assert it.current() == OLD
    it.put(NEW)
    assert (it.current(), it.last_good()) == (NEW, OLD)
    assert (etc / "host.crt").readlink() == Path("../archive/2.host.crt")
    for name in ("host.crt", "host.key"):
        (etc / name).unlink()
        (etc / name).symlink_to(etc / name)
    with pytest.raises(UnavailableError, match="symbolic links"):
        it.put(OLD)


def test_a_first_pair_takes_its_place_where_a_link_leads_that_leads_nowhere_yet(tmp_path: Path) -> None:
    it, persistent = folder_with(tmp_path, None), tmp_path / "persistent"
    persistent.mkdir()
    for name in ("host.crt", "host.key"):
        (tmp_path / "etc" / name).symlink_to(persistent / name)
    it.mend()
    it.put(NEW)
    assert it.current() == NEW
    assert (tmp_path / "etc" / "host.crt").readlink() == persistent / "host.crt"


def test_a_data_folder_that_was_moved_is_led_to_anew(tmp_path: Path) -> None:
    folder_with(tmp_path, OLD).put(NEW)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = PairFolder(
        tmp_path / "moved" / "gate", tmp_path / "etc" / "host.crt", tmp_path / "etc" / "host.key"
    )
    assert moved.current() is None
    moved.mend()
    assert (moved.current(), moved.last_good()) == (NEW, OLD)


def test_tries_in_vain_leave_nothing_behind_and_a_start_clears_what_a_power_cut_left(tmp_path: Path) -> None:
    class FullDisk(PairDisk):
        """Names fit, contents do not."""

        def write(self, path: Path, content: bytes, mode: int) -> None:
            super().write(path, content[:1], mode)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    folder_with(tmp_path, OLD).put(NEW)
    before = sorted(tmp_path.rglob("*"))
    full = folder_with(tmp_path, None, FullDisk())
    attempts: tuple[Callable[[], None], ...] = (
        lambda: full.put(NEXT),
        lambda: full.note(RenewalNotes(trouble="x")),
        lambda: full.keep_pending(b"key", b"request"),
    )
    for attempt in attempts:
        with pytest.raises(StorageFullError):
            attempt()
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(PowerCutError):
        folder_with(tmp_path, None, CutDisk(4)).put(NEXT)
    assert sorted(tmp_path.rglob("*")) != before
    again = folder_with(tmp_path, None)
    again.mend()
    assert sorted(tmp_path.rglob("*")) == before
    assert (again.current(), again.last_good()) == (NEW, OLD)


def test_a_full_disk_leaves_the_pair_in_use(tmp_path: Path) -> None:
    class FullDisk(PairDisk):
        def write(self, path: Path, content: bytes, mode: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    class NoLinks(PairDisk):
        def link(self, path: Path, target: str) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    with pytest.raises(StorageFullError):
        folder_with(tmp_path / "full", OLD, FullDisk()).put(NEW)
    with pytest.raises(UnavailableError, match="symbolic links"):
        folder_with(tmp_path / "fat", OLD, NoLinks()).put(NEW)
    for name in ("full", "fat"):
        assert folder_with(tmp_path / name, None).current() == OLD


def test_notes_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    it = folder_with(tmp_path, OLD)
    it.note(RenewalNotes(trouble="x"))
    file = tmp_path / "data" / "gate" / "renewal.json"
    for content in (b"", b"[]", b"{", b'{"tries": "x", "failures": -5, "not_before": NaN}', b"[" * 100_000):
        file.write_bytes(content)
        assert it.notes() == RenewalNotes()
