"""One id for all connections of a host to an upstream broker."""

from __future__ import annotations

import hashlib
from typing import Final

#: With the word before them 23 letters and digits, which every broker takes (MQTT 3.1.1, 3.1.3.1).
_DIGITS: Final = 15


def client_id(place: str) -> str:
    """The id of whoever speaks at this place of the broker.

    With it a new connection throws out an old one that the broker still believes in after a loss of power, and the old
    one's will is told before anything of the new one; with another id it would come up to 45 s later, and be believed.
    """
    return f"edgehost{hashlib.sha256(place.encode()).hexdigest()[:_DIGITS]}"
