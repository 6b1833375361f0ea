"""Pairs of certificate and key, of which one link at a time says which is in use: a PairStore.

``cert_file`` and ``key_file`` become symbolic links through ``current``, itself a link to the folder of one pair::

    cert_file -> data/certificates/NAME/current/certificate.pem
    key_file  -> data/certificates/NAME/current/key.pem
    data/certificates/NAME/current -> pairs/2

A rename of ``current`` replaces both at one instant, whenever the power goes. Files that somebody put there by hand are
taken in as a pair of their own first. Where the paths are links of somebody else (``live`` of certbot, a read-only
``/etc``), those stay, and ours are what they lead to.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Final

from edgehost.domain.certificate_life import RenewalNotes, read_notes
from edgehost.domain.errors import UnavailableError
from edgehost.ports.certificate_authority import Pair, PairPaths
from remotes.durable_file import read_bounded, storage_errors

_CERTIFICATE, _KEY = "certificate.pem", "key.pem"
_CURRENT, _PAIRS, _LAST_GOOD = "current", "pairs", "last-good"
_NOTES, _PENDING_KEY, _PENDING_REQUEST = "renewal.json", "pending.key", "pending.csr"
#: The pair in use, the one before, and one being written.
_MOST_FILE_BYTES: Final = 256 * 1024
#: As the kernel has it.
_MOST_LINKS: Final = 40
_SECRET_MODE, _OPEN_MODE, _FOLDER_MODE = 0o600, 0o644, 0o700


class PairDisk:
    """The few calls that change files here, so that a test can stop between any two of them."""

    def make_folder(self, folder: Path) -> None:
        """One folder, of our user alone."""
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)

    def write(self, path: Path, content: bytes, mode: int) -> None:
        """A new file with its content on the medium; its name is durable once the folder is synced."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def link(self, path: Path, target: str) -> None:
        """A symbolic link."""
        path.symlink_to(target)

    def rename(self, source: Path, target: Path) -> None:
        """Put one name in another's place."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """A file, or a folder with the files in it."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Wait until names in the folder are on the medium."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class PairFolder:
    """Meets the PairStore port."""

    def __init__(
        self,
        folder: Path,
        cert_file: Path,
        key_file: Path,
        *,
        disk: PairDisk | None = None,
        nonce: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._folder, self._cert_file, self._key_file = folder, cert_file, key_file
        self._disk = disk or PairDisk()
        self._nonce = nonce

    def current(self) -> Pair | None:
        """What the paths in use lead to."""
        return _read(self._cert_file, self._key_file)

    def last_good(self) -> Pair | None:
        """The pair that was in use before."""
        paths = self.last_good_paths()
        return None if paths is None else _read(Path(paths.certificate), Path(paths.key))

    def paths(self) -> PairPaths:
        """As the configuration has them."""
        return PairPaths(str(self._cert_file), str(self._key_file))

    def last_good_paths(self) -> PairPaths | None:
        """Where the pair before lies."""
        folder = self._folder / _LAST_GOOD
        if not (folder / _KEY).exists():
            return None
        return PairPaths(str(folder / _CERTIFICATE), str(folder / _KEY))

    def mend(self) -> None:
        """A first pair whose links the power cut prevented gets them; what was left half done goes."""
        folder = self._folder / _CURRENT
        whole = _read(folder / _CERTIFICATE, folder / _KEY)
        if whole is not None and not (self._cert_file.exists() and self._key_file.exists()):
            with _written(self._folder):
                self._require_links()
        if (self._folder / _PAIRS).is_dir():
            with _written(self._folder):
                self._tidy()

    def put(self, pair: Pair) -> None:
        """Use this pair; the one before becomes the last good one."""
        with _written(self._folder):
            self._make_folders()
            self._take_in()
            made = self._write_pair(pair)
            before = self._target(_CURRENT)
            if before:
                self._point(_LAST_GOOD, before)
            self._point(_CURRENT, made)
            self._require_links()
            self._tidy()

    def put_back(self) -> None:
        """Use the last good pair again."""
        before = self._target(_LAST_GOOD)
        if not before:
            raise UnavailableError("There is no earlier pair to go back to.")
        with _written(self._folder):
            self._point(_CURRENT, before)

    def pending(self) -> tuple[bytes, bytes] | None:
        """Key and request that were sent before."""
        key = read_bounded(self._folder / _PENDING_KEY, _MOST_FILE_BYTES)
        request = read_bounded(self._folder / _PENDING_REQUEST, _MOST_FILE_BYTES)
        return None if key is None or request is None else (key, request)

    def keep_pending(self, key: bytes, request: bytes) -> None:
        """The key first: a request without its key is worth nothing, and a key without its request nothing yet."""
        with _written(self._folder):
            self._make_folders()
            self._disk.remove(self._folder / _PENDING_REQUEST)
            self._replace(self._folder / _PENDING_KEY, key, _SECRET_MODE)
            self._replace(self._folder / _PENDING_REQUEST, request, _SECRET_MODE)

    def drop_pending(self) -> None:
        """It is answered, or given up."""
        with suppress(OSError):
            self._disk.remove(self._folder / _PENDING_REQUEST)
            self._disk.remove(self._folder / _PENDING_KEY)

    def notes(self) -> RenewalNotes:
        """What was noted."""
        content = read_bounded(self._folder / _NOTES, _MOST_FILE_BYTES)
        try:
            return read_notes(json.loads(content or b"null"))
        except (ValueError, RecursionError):
            return RenewalNotes()

    def note(self, notes: RenewalNotes) -> None:
        """Note it durably."""
        with _written(self._folder):
            self._make_folders()
            self._replace(self._folder / _NOTES, json.dumps(notes.document()).encode(), _SECRET_MODE)

    def _make_folders(self) -> None:
        self._folder.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        for folder in (self._folder, self._folder / _PAIRS):
            if not folder.is_dir():
                self._disk.make_folder(folder)
                self._disk.sync_folder(folder.parent)

    def _take_in(self) -> None:
        """Files that were put there by hand become a pair of ours; nobody sees a difference."""
        if self._is_ours(self._cert_file, _CERTIFICATE) and self._is_ours(self._key_file, _KEY):
            return
        pair = self.current()
        if pair is not None:
            self._point(_CURRENT, self._write_pair(pair))
            self._require_links()

    def _require_links(self) -> None:
        """The paths in use lead to the pair in use; each link takes the place of a file that says the same."""
        for path, name in ((self._key_file, _KEY), (self._cert_file, _CERTIFICATE)):
            if not self._is_ours(path, name):
                self._link(_end(path, name), str(self._folder / _CURRENT / name))

    def _is_ours(self, path: Path, name: str) -> bool:
        ours, end = self._folder / _CURRENT / name, _end(path, name)
        return end == ours or (end.is_symlink() and end.readlink() == ours)

    def _write_pair(self, pair: Pair) -> str:
        """A folder of its own that nothing leads to yet; returns its path below ours."""
        folder = self._folder / _PAIRS / self._nonce()
        with self._whole(folder):
            self._disk.make_folder(folder)
            self._disk.write(folder / _KEY, pair.key, _SECRET_MODE)
            self._disk.write(folder / _CERTIFICATE, pair.certificate, _OPEN_MODE)
            self._disk.sync_folder(folder)
            self._disk.sync_folder(folder.parent)
        return f"{_PAIRS}/{folder.name}"

    def _point(self, name: str, target: str) -> None:
        """Have a link lead elsewhere, at one instant."""
        self._link(self._folder / name, target)

    def _link(self, path: Path, target: str) -> None:
        fresh = path.with_name(f".{path.name}.{self._nonce()}")
        with self._whole(fresh):
            self._disk.link(fresh, target)
            self._disk.rename(fresh, path)
        self._disk.sync_folder(path.parent)

    def _replace(self, path: Path, content: bytes, mode: int) -> None:
        fresh = path.with_name(f".{path.name}.{self._nonce()}")
        with self._whole(fresh):
            self._disk.write(fresh, content, mode)
            self._disk.rename(fresh, path)
        self._disk.sync_folder(path.parent)

    @contextmanager
    def _whole(self, made: Path) -> Iterator[None]:
        """What is made within, or nothing: a full disk does not get fuller with every try."""
        try:
            yield
        except OSError:
            with suppress(OSError):
                self._disk.remove(made)
            raise

    def _target(self, name: str) -> str:
        link = self._folder / name
        return str(link.readlink()) if link.is_symlink() else ""

    def _tidy(self) -> None:
        """Pairs that nothing leads to, and what an earlier power cut left half done."""
        kept = {Path(self._target(name)).name for name in (_CURRENT, _LAST_GOOD)}
        for each in (self._folder / _PAIRS).iterdir():
            if each.name not in kept:
                self._disk.remove(each)
        for each in self._folder.glob(".*"):
            self._disk.remove(each)
        for path in (_end(self._cert_file, _CERTIFICATE), _end(self._key_file, _KEY)):
            for each in path.parent.glob(f".{escape(path.name)}.*"):
                if each.is_symlink():
                    self._disk.remove(each)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Errors of the disk as what they mean for the caller."""
    try:
        with storage_errors():
            yield
    except OSError as problem:
        raise _cannot(problem, folder) from None


def _end(path: Path, name: str) -> Path:
    """Where links of somebody else lead; a link through a ``current`` is one of ours, if of another data folder."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink() or path.readlink().parts[-2:] == (_CURRENT, name):
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _cannot(problem: OSError, folder: Path) -> UnavailableError:
    return UnavailableError(
        f"{problem.filename or folder} cannot be written ({problem.strerror}); the pair before is in use.",
        hint="The host's user must be able to write the folders of cert_file and key_file, on a filesystem with "
        "symbolic links (no FAT).",
    )


def _read(cert_file: Path, key_file: Path) -> Pair | None:
    certificate = read_bounded(cert_file, _MOST_FILE_BYTES)
    key = read_bounded(key_file, _MOST_FILE_BYTES)
    return None if certificate is None or key is None else Pair(certificate, key)
