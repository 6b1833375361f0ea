"""Connections that show a client certificate, so that they can be made anew when it is replaced.

A connection that stands goes on with the certificate that it was made with, even beyond that one's end; what was made
at a time when the old one held would come to its end all at once, at the next cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: One process has a handful of connections; each is registered for as long as it is kept.
_CONNECTIONS: Final[dict[Path, list[Callable[[], None]]]] = {}


@contextmanager
def shows(cert_file: Path | None, connect_anew: Callable[[], None]) -> Iterator[None]:
    """Within the block ``connect_anew`` is called when this certificate has been replaced; of this event loop."""
    if cert_file is None:
        yield
        return
    users = _CONNECTIONS.setdefault(cert_file, [])
    users.append(connect_anew)
    try:
        yield
    finally:
        users.remove(connect_anew)
        if not users and _CONNECTIONS.get(cert_file) is users:
            del _CONNECTIONS[cert_file]


def connect_anew(cert_file: Path) -> int:
    """Have every connection that shows this certificate made anew; returns how many there are."""
    users = list(_CONNECTIONS.get(cert_file, ()))
    for each in users:
        each()
    return len(users)
