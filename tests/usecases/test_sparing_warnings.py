"""What happens often is logged at once and then counted."""

from __future__ import annotations

import logging

import pytest

from edgehost.domain.errors import SandboxDiedError
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.sparing_warnings import SparingWarnings
from tests.usecases.pool_scene import pool_over


async def test_deaths_of_sandboxes_are_logged_at_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def dying(_function: str, _payload: bytes, _context: CallContext) -> bytes:
        raise SandboxDiedError("guest: the sandbox died: it was killed.")

    async with pool_over(dying) as (pool, _factory):
        for _ in range(3):
            with pytest.raises(SandboxDiedError):
                await pool.call("echo", b"")
    (line,) = caplog.records
    assert line.getMessage() == "guest: the sandbox died: it was killed."


def test_a_warning_after_a_while_says_how_many_were_not_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    warnings = SparingWarnings(logging.getLogger("edgehost.test"), lambda: now[0])
    for now[0] in (0.0, 1.0, 2.0, 30.0):
        warnings.warn("It died.")
    assert [line.getMessage() for line in caplog.records] == [
        "It died.",
        "It died. (2 more since the last such line)",
    ]
