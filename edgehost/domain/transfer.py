"""How content came: what was received for it, and what a host had already."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Transfer:
    """Filled in by whoever fetches, read by whoever asked."""

    received_bytes: int = 0  # of content, over whatever carries it
    resumed_bytes: int = 0  # that an earlier, broken transfer had left
    base: str = ""  # digest of the release that a delta was applied to; "" when it came whole
