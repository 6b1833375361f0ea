"""Which wave ``edgehost fleet approve`` lets begin when none is named."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.cli.fleet_orders import wave_to_approve
from edgehost.domain.errors import NotFoundError


def waiting(wave: int, reason: str, *, sequence: int = 1) -> dict[str, Any]:
    return {"state": "waiting", "wave": wave, "reason": reason, "sequence": sequence}


def test_it_is_the_first_that_waits_for_an_operator_and_not_for_something_else() -> None:
    reports = {
        "gate": waiting(0, "It does not see the other hosts."),
        "shed": waiting(2, "Wave 2 waits for an approval: 'edgehost fleet approve site'."),
        "barn": waiting(1, "Wave 1 waits for an approval: 'edgehost fleet approve site'."),
        "mill": waiting(0, "Wave 0 waits for an approval: 'edgehost fleet approve site'.", sequence=9),
    }
    assert wave_to_approve("site", reports, 1) == 1


def test_an_approval_that_nobody_waits_for_is_refused_and_says_what_is_waited_for() -> None:
    reports = {"gate": waiting(0, "No maintenance window is open at Mon 10:00.")}
    with pytest.raises(
        NotFoundError, match=r"No host waits for an approval of site\. gate: No maintenance window"
    ):
        wave_to_approve("site", reports, 1)


def test_what_is_halted_is_resumed_and_not_approved() -> None:
    reports = {"gate": {"state": "halted", "wave": 1, "reason": "Operator ada said halt.", "sequence": 1}}
    with pytest.raises(NotFoundError, match="gate: Operator ada said halt") as caught:
        wave_to_approve("site", reports, 1)
    assert "edgehost fleet resume site" in caught.value.hint
