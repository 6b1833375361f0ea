"""What metadata says of itself before anybody has checked it: good for a guess where to look first."""

from __future__ import annotations

import json


def version_of(timestamp: bytes | None) -> int:
    """The version that a timestamp gives itself, unchecked; 0 for none."""
    try:
        version = json.loads(timestamp or b"")["signed"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) and 0 < version < 1 << 53 else 0
