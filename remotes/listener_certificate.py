"""The certificate of a listener, taken anew from its files when they have changed.

Every handshake looks at the files first, which costs a stat for each, so that a renewed pair is shown to whoever comes
next and nobody has to tell the listener. Connections that stand keep what they were made with. Files that cannot be
used, such as half of a pair that is being replaced, change nothing until they are looked at again.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from edgehost.domain.errors import EdgehostError

_LOG: Final = logging.getLogger(__name__)
_Looks = tuple[tuple[int, int, int, int], ...]


class ListenerCertificate:
    """``context`` is for the listener; ``made`` reads the files, of which ``files`` are all. Blocking.

    Raises:
        InvalidConfigError: the files cannot be used at the start.
    """

    def __init__(self, files: Sequence[Path], made: Callable[[], ssl.SSLContext]) -> None:
        self._files, self._made = tuple(files), made
        # Looked at before they are read: what is replaced while it is read is read again.
        self._looks = self._look()
        self._newest = made()
        self.context = made()
        self.context.sni_callback = self._begin

    def _begin(
        self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _of: ssl.SSLContext
    ) -> None:
        """OpenSSL calls this at each handshake, also of clients that name no server."""
        self._refresh()
        handshake.context = self._newest

    def _refresh(self) -> None:
        looks = self._look()
        if looks == self._looks or looks is None:
            return
        self._looks = looks
        try:
            self._newest = self._made()
        except EdgehostError as problem:
            _LOG.warning("The certificate before is shown on: %s", problem)
        else:
            _LOG.info("%s has changed and is shown from now on.", self._files[0])

    def _look(self) -> _Looks | None:
        """What tells a file from the one before; None while one is missing, as between two renames."""
        try:
            found = [each.stat() for each in self._files]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found)
