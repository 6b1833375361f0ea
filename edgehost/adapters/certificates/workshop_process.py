"""The process of the workshop: does what it is told on its standard input, and ends when nobody asks for a while.

``python -I -m edgehost.adapters.certificates.workshop_process IDLE_S CALL_S``
"""

from __future__ import annotations

import select
import signal
import sys
from typing import Any, Final

from edgehost.adapters.certificates.workshop_calls import LINE_MOST_BYTES, line_of, read_line
from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import RefusedError

CALLS: Final = frozenset(
    {"facts", "new_key", "request", "fits", "paired", "require_authorities", "certificates_in"}
)


def serve(idle_s: float, call_s: int) -> None:
    """Answer until the input ends or is silent; a call that takes too long ends the process."""
    workshop = X509Workshop()
    while select.select([sys.stdin.buffer], [], [], idle_s)[0]:
        line = sys.stdin.buffer.readline(LINE_MOST_BYTES)
        if not line:
            return
        signal.alarm(call_s)
        sys.stdout.buffer.write(line_of(_answered(workshop, read_line(line))))
        sys.stdout.buffer.flush()
        signal.alarm(0)


def _answered(workshop: X509Workshop, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["call"] not in CALLS:
        return {"refused": "The workshop does not know that.", "hint": ""}
    try:
        return {"done": getattr(workshop, asked["call"])(*asked["positional"], **asked["named"])}
    except RefusedError as problem:
        return {"refused": problem.message, "hint": problem.hint}


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
