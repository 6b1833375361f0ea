"""Whether a bundle comes from the repository that a host trusts, or from another one of the same name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from edgehost.domain.errors import EdgehostError
from remotes.bundle_file import BundleFile
from remotes.transport import METADATA_MOST_BYTES


def has_another_root(bundle: BundleFile, trusted: Iterable[bytes | None]) -> bool:
    """Whether one of the bundle's roots is not what the host trusts as the root of that version.

    One repository signs one root of each version. A bundle without the roots that the host has says nothing of it.
    """
    for content in trusted:
        ours, version = _signed(content)
        if not version:
            continue
        try:
            theirs, _ = _signed(bundle.read(f"metadata/{version}.root.json", METADATA_MOST_BYTES))
        except EdgehostError:
            continue
        if theirs is not None and theirs != ours:
            return True
    return False


def _signed(content: bytes | None) -> tuple[Any, int]:
    """What the root says, whoever signed it, and its version; (None, 0) when it is none."""
    try:
        signed = json.loads(content or b"")["signed"]
        version = signed["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, 0
    return (signed, version) if type(version) is int and version > 0 else (None, 0)
