"""Which wave ``edgehost fleet approve`` lets begin when none is named, and that what is named is there."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.cli.fleet_orders import require_known, wave_to_approve
from edgehost.cli.main import main
from edgehost.domain.errors import NotFoundError
from edgehost.domain.rollout_report import RolloutOrder


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


REPORTS = {
    "gate": {**waiting(0, "", sequence=3), "waves": 3},
    "mill": waiting(0, "", sequence=4),  # of a version that does not tell
}


@pytest.mark.parametrize(
    ("sequence", "hint"), [(33, "If it is on its way"), (2, "Hosts that are not heard of may have it still")]
)
def test_a_sequence_that_no_host_reports_is_refused_unless_it_is_said_to_be_ahead(
    sequence: int, hint: str
) -> None:
    told = f"No host reports sequence {sequence} of site; they report sequences 3, 4."
    with pytest.raises(NotFoundError, match=told) as refused:
        require_known("site", REPORTS, sequence, RolloutOrder.HALT, 0)
    assert hint in refused.value.hint
    require_known("site", REPORTS, sequence, RolloutOrder.HALT, 0, ahead=True)
    require_known("site", {}, sequence, RolloutOrder.HALT, 0)  # nobody knows anything of it


def test_a_wave_is_refused_where_hosts_tell_how_many_there_are_also_ahead() -> None:
    for ahead in (True, False):
        with pytest.raises(NotFoundError, match="Sequence 3 of site has waves 0 to 2; there is no wave 3"):
            require_known("site", REPORTS, 3, RolloutOrder.APPROVE, 3, ahead=ahead)
    require_known("site", REPORTS, 3, RolloutOrder.APPROVE, 2)
    require_known("site", REPORTS, 4, RolloutOrder.APPROVE, 9)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("halt", "site", "--sequence", "0"), "--sequence: 0 is not 1 to 9007199254740992"),
        (("halt", "site", "--sequence", "9007199254740993"), "--sequence: 9007199254740993 is not"),
        (("approve", "site", "--wave", "-1"), "--wave: -1 is not 0 to 10000"),
        (("resume", "site", "--wave", "10001"), "--wave: 10001 is not"),
        (("abort", "site", "--sequence", "newest"), "--sequence: invalid whole number value"),
    ],
)
def test_numbers_that_no_order_holds_are_refused_before_anybody_is_asked(
    words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", *words, "--broker", "nowhere.invalid", "--fleet", "yard"]) == 2
    assert complaint in capsys.readouterr().err
