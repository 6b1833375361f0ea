"""What a shelf knows of each release, and which of it is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgehost.domain.errors import DamagedError, InvalidComponentError
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import Share

#: A remote can offer what will be rejected for ever: beyond this many, the oldest rejected ones are forgotten.
MAX_RELEASES: Final = 2000

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Release))

#: Entries of the ledger by number; a smaller number was recorded earlier.
Entries = Mapping[int, Release]


def changed_entries(
    entries: Entries, last_number: int, releases: Iterable[Release], *, limit: int = MAX_RELEASES
) -> dict[int, Release | None]:
    """The entries to write (None: to drop) so that the ledger holds these releases' new state."""
    numbers = {release.digest: number for number, release in entries.items()}
    changed: dict[int, Release | None] = {}
    for release in releases:
        if release.digest not in numbers:
            last_number += 1
            numbers[release.digest] = last_number
        changed[numbers[release.digest]] = release
    surplus = len(numbers) - limit
    for number, release in entries.items():
        if surplus <= 0:
            break
        if release.stage is Stage.REJECTED and number not in changed:
            changed[number] = None
            surplus -= 1
    return changed


def forgotten_entries(entries: Entries, digests: Iterable[str]) -> list[int]:
    """The entries to drop so that nothing is known of these releases."""
    wanted = set(digests)
    return [number for number, release in entries.items() if release.digest in wanted]


def encode_release(release: Release) -> dict[str, Any]:
    """The release as a JSON object."""
    return dataclasses.asdict(release)


def decode_release(raw: bytes) -> Release:
    """The release that was stored.

    Raises:
        DamagedError: a later version of edgehost wrote it.
    """
    values = json.loads(raw)
    try:
        values["stage"] = Stage(values["stage"])
        values["device_classes"] = tuple(values["device_classes"])
        if values.get("share") is not None:
            values["share"] = Share.from_document(values["share"])
        return Release(**{name: value for name, value in values.items() if name in _FIELDS})
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"The ledger of releases holds an entry that this version does not understand ({error}).",
            hint="Use the version of edgehost that wrote it, or a later one.",
        ) from error


def is_digest(name: str) -> bool:
    """Whether this is a sha256 in lower-case hex."""
    return _DIGEST.fullmatch(name) is not None


def require_digest(digest: str) -> str:
    """The digest itself, when it is one: it becomes a file name.

    Raises:
        InvalidComponentError: it is no sha256 in lower-case hex.
    """
    if not is_digest(digest):
        raise InvalidComponentError(
            f"{digest[:80]!r} is no digest.", hint="Use the sha256 of the file as 64 lower-case hex digits."
        )
    return digest


def require_content(digest: str, content: bytes) -> None:
    """Refuse content that is not what its digest says.

    Raises:
        DamagedError: it has another sha256.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DamagedError(
            f"The file {digest[:12]} has the sha256 {found[:12]} instead ({len(content)} bytes).",
            hint="It is fetched again from its remote at the next check; a medium that does this often is failing.",
        )
