"""The trust check: python-tuf's client over a function that fetches a file.

Runs in a process of its own, since cryptography and TUF take more memory than the rest of an idle agent's
transports. What is trusted lies in a folder, and each file there was checked before it was written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edgehost.domain.errors import (
    InvalidConfigError,
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_document import SignedDocument
from remotes.clock_floor import (
    FLOOR_FILE,
    ClockFloor,
    expiry_words,
    from_seconds,
    is_damaged_floor,
    read_floor,
    write_floor,
)
from remotes.durable_file import drop_leftovers, read_bounded, storage_errors, write_durably
from remotes.refusal import Attack, untrusted
from remotes.signed_targets import SignedTargets
from remotes.transport import METADATA_MOST_BYTES
from remotes.tuf_refusals import looks_like, signed_version
from remotes.write_count import WRITTEN

#: (path, most bytes) -> content or None. Raises TooLargeError or RemoteUnreachableError.
Fetch = Callable[[str, int], bytes | None]

#: When a timestamp was signed, in seconds; TUF itself only knows when it ends.
SIGNED_AT: Final = "x-edgehost-signed-at"
_ROOT_MOST_BYTES: Final = 131_072
_NO_METADATA_HINT: Final = "What is served there is no signed metadata: check the remote's address and who may write there, then mirror the repository again."
_CONFIG: Final = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=64,
    root_max_length=_ROOT_MOST_BYTES,
    timestamp_max_length=16_384,
    snapshot_max_length=262_144,
    targets_max_length=METADATA_MOST_BYTES,
)


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """One check of one remote."""

    remote: str
    folder: Path  # what is trusted so far; made when absent
    root_file: Path  # the root that the operator was given out of band
    now: float  # seconds, by this machine's clock


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an accepted repository says."""

    offers: tuple[OfferedRelease, ...]
    documents: tuple[SignedDocument, ...]
    root_version: int
    timestamp: bytes
    expires: float  # seconds; when the first part of it expires
    reference: float  # seconds; the time by which it was judged
    damaged: tuple[str, ...] = ()  # trusted files that were unreadable, and were got again from the root on
    written_bytes: int = 0  # to the disk, for what is trusted
    expired: tuple[str, ...] = ()  # delegated roles that are passed over until they are signed anew


def check_repository(request: CheckRequest, fetch: Fetch) -> Verdict:
    """Bring the trusted metadata up to date and say what it offers.

    Raises:
        UntrustedReleaseError: it does not hold; the message names the attack it looks like.
        RemoteUnreachableError: the transport failed, or a file that was announced is not there.
        InvalidConfigError: the operator's root cannot be used.
        StorageFullError: what was checked cannot be kept.
    """
    bootstrap = read_bounded(request.root_file, _ROOT_MOST_BYTES)
    if bootstrap is None:
        raise InvalidConfigError(
            f"The root of remote '{request.remote}', {request.root_file}, cannot be read.",
            hint="Copy the publisher's root.json there, by a way that you trust.",
        )
    fetcher = _Fetcher(fetch)
    written_before = WRITTEN.count
    with storage_errors():
        request.folder.mkdir(parents=True, exist_ok=True)
        for folder in (request.folder, request.folder / "root_history"):
            drop_leftovers(folder)
        damaged = tuple(_damaged_files(request.folder))
        floor = read_floor(request.folder)
        try:
            updater = _Updater(request, floor, fetcher, bootstrap)
        except tuf_errors.RepositoryError as error:
            raise InvalidConfigError(
                f"{request.root_file} is no valid root of a repository: {error}.",
                hint="Copy the publisher's root.json there, by a way that you trust.",
            ) from error
        try:
            updater.refresh()
            signed = SignedTargets(request.remote)
            for name, role, delegation in updater.targets():
                signed.take(name, role, delegation)
        except (tuf_errors.RepositoryError, tuf_errors.DownloadError) as error:
            raise _refusal(error, updater, fetcher, request.remote) from error
        raised = floor.raised_to(updater.past_moment(), updater.timestamp_keys)
        if raised is not floor:
            write_floor(request.folder, raised)
    return replace(updater.verdict(signed), damaged=damaged, written_bytes=WRITTEN.count - written_before)


class _Fetcher(FetcherInterface):
    """Hands the library's downloads to our function, bounds included; remembers the last file for messages."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch_file = fetch
        self.path = ""
        self.content = b""

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The whole file."""
        self.path, self.content = url, b""
        try:
            content = self._fetch_file(url, max_length)
        except TooLargeError as error:
            raise tuf_errors.DownloadLengthMismatchError(error.message) from error
        if content is None:
            raise tuf_errors.DownloadHTTPError("there is no such file", 404)
        if len(content) > max_length:
            raise tuf_errors.DownloadLengthMismatchError(f"{url} has more than {max_length} bytes")
        self.content = content
        return content

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, METADATA_MOST_BYTES)


class _Updater(Updater):
    """The library's client with our clock and with files that survive a power cut.

    It overrides and reads private names, as the library has no option for either; a test holds them.
    """

    def __init__(self, request: CheckRequest, floor: ClockFloor, fetcher: _Fetcher, bootstrap: bytes) -> None:
        self._floor = floor
        self._now = request.now
        self.expired: list[str] = []  # delegated roles
        super().__init__(
            str(request.folder), "metadata/", fetcher=fetcher, config=_CONFIG, bootstrap=bootstrap
        )

    @property
    def trusted(self) -> Any:  # noqa: ANN401 - the library's internal class
        return self._trusted_set

    @property
    def timestamp_keys(self) -> tuple[str, ...]:
        return tuple(self._trusted_set.root.roles[Timestamp.type].keyids)

    def targets(self) -> Iterator[tuple[str, Targets, Any]]:
        """The top-level role and those it delegates to: name, metadata, and who may sign what (None: all)."""
        top = self._trusted_set.targets
        yield Targets.type, top, None
        announced = self._trusted_set.snapshot.meta  # from which TUF lets nobody drop a role again
        for role in ((top.delegations and top.delegations.roles) or {}).values():
            if f"{role.name}.json" not in announced:
                continue  # it has signed nothing yet
            try:
                loaded = self._load_targets(role.name, Targets.type)
            except tuf_errors.ExpiredMetadataError:
                self.expired.append(role.name)  # a team that is late has nothing on offer; the others have
                continue
            yield role.name, loaded, role

    def past_moment(self) -> datetime:
        """The newest moment that is surely past, after a check that passed."""
        return max(self._signed_at() or from_seconds(0), from_seconds(self._now))

    def vouched_moment(self) -> datetime:
        """The newest moment that signatures vouch for, whether what they sign still holds or not."""
        floor = self._floor.reference(0.0, self.timestamp_keys)
        signed_at = self._signed_at() if Timestamp.type in self._trusted_set else None
        return max(floor, signed_at or floor)

    def verdict(self, signed: SignedTargets) -> Verdict:
        return Verdict(
            offers=signed.offers(),
            documents=signed.documents(),
            root_version=self._trusted_set.root.version,
            timestamp=self._load_local_metadata(Timestamp.type),
            expires=min(signed.expires.timestamp() for signed in self._trusted_set),
            reference=self._trusted_set.reference_time.timestamp(),
            expired=tuple(self.expired),
        )

    def _load_timestamp(self) -> None:
        # The roots are in: their timestamp keys say which floor holds.
        self._trusted_set.reference_time = self._floor.reference(self._now, self.timestamp_keys)
        super()._load_timestamp()
        signed_at = self._signed_at()
        if signed_at is not None and signed_at > self._trusted_set.reference_time:
            self._trusted_set.reference_time = signed_at

    def _signed_at(self) -> datetime | None:
        timestamp = self._trusted_set.timestamp
        value = timestamp.unrecognized_fields.get(SIGNED_AT)
        if not isinstance(value, int):
            return None
        return min(from_seconds(value), timestamp.expires)

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        if read_bounded(path, len(data)) != data:
            write_durably(path, data)

    def _update_root_symlink(self) -> None:
        """Nothing reads root.json: the operator's root and root_history do. Some media know no links."""


def _damaged_files(folder: Path) -> Iterator[str]:
    """Trusted files that are there and are no metadata; the library would get them anew without a word."""
    kept = [folder / f"{role}.json" for role in (Timestamp.type, Snapshot.type, Targets.type)]
    for file in (*kept, *sorted((folder / "root_history").glob("*.root.json")), folder / FLOOR_FILE):
        if file.is_dir():
            shutil.rmtree(file)  # in its place nothing could be kept
            yield file.name
        elif file.is_file() and file.name != FLOOR_FILE:
            try:
                Metadata[Any].from_bytes(read_bounded(file, METADATA_MOST_BYTES) or b"")
            except tuf_errors.RepositoryError:
                yield file.name
    if is_damaged_floor(folder):
        yield "the clock's floor"


def _refusal(
    error: Exception, updater: _Updater, fetcher: _Fetcher, remote: str
) -> UntrustedReleaseError | RemoteUnreachableError:
    """Say which attack a refusal by the library looks like."""
    if isinstance(error, tuf_errors.DownloadHTTPError):
        return RemoteUnreachableError(
            f"Remote '{remote}' does not serve {fetcher.path}.",
            hint="Nothing is published there yet, or it is changing right now: try again.",
        )
    what = str(error).rstrip(".")
    hint = ""
    if isinstance(error, tuf_errors.ExpiredMetadataError):
        is_root = Timestamp.type not in updater.trusted
        judged, hint = expiry_words(updater.trusted.reference_time, updater.vouched_moment(), is_root=is_root)
        what += judged
    announced = _announced_version(updater, fetcher.path)
    mixed = announced is not None and signed_version(fetcher.content) not in {announced, None}
    attack = looks_like(error, mixed=mixed)
    if attack is Attack.MALFORMED and signed_version(fetcher.content) is None:
        hint = _NO_METADATA_HINT
    return untrusted(attack, remote, f"{fetcher.path}: {what}.", hint=hint)


def _announced_version(updater: _Updater, path: str) -> int | None:
    """The version that the role above announces for this file; None for roles that nobody announces."""
    role = path.rpartition("/")[2].removesuffix(".json").partition(".")[2]
    loaded = updater.trusted
    if role == Snapshot.type and Timestamp.type in loaded:
        return int(loaded[Timestamp.type].snapshot_meta.version)
    if role not in {"", Root.type, Snapshot.type} and Snapshot.type in loaded:
        announced = loaded[Snapshot.type].meta.get(f"{role}.json")
        return int(announced.version) if announced is not None else None
    return None
