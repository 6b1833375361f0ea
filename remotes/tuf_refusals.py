"""Which attack an error of python-tuf looks like."""

from __future__ import annotations

import json

from tuf.api import exceptions as tuf_errors

from remotes.refusal import Attack


def looks_like(error: Exception, *, mixed: bool) -> Attack:
    """``mixed``: the file says another version of itself than the role above announces for it."""
    match error:
        case tuf_errors.ExpiredMetadataError():
            return Attack.FREEZE
        case tuf_errors.UnsignedMetadataError():
            return Attack.WRONG_KEYS
        case tuf_errors.DownloadLengthMismatchError():
            return Attack.ENDLESS_DATA
        case tuf_errors.LengthOrHashMismatchError():
            return Attack.MIX_AND_MATCH if mixed else Attack.TAMPERING
        case tuf_errors.BadVersionNumberError():
            return Attack.MIX_AND_MATCH if mixed else Attack.ROLLBACK
        case _:
            # The library has no class of its own for a role that vanishes from the snapshot.
            return Attack.ROLLBACK if "is missing info for" in str(error) else Attack.MALFORMED


def signed_version(content: bytes) -> int | None:
    """The version that a file says of itself, unchecked."""
    try:
        version = json.loads(content)["signed"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, int) else None
