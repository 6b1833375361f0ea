"""What 'edgehost fleet' tells people of the commands that it gave."""

from __future__ import annotations

import argparse

import pytest

from edgehost.cli.fleet_commands import Given
from edgehost.cli.fleet_output import count_of, outcome_lines
from edgehost.cli.main import main
from edgehost.domain.fleet_command import Operation

WAITED = argparse.Namespace(verb="restart", no_wait=False)
AT_ONCE = argparse.Namespace(verb="restart", no_wait=True)
CANCELLED = argparse.Namespace(verb="cancel")


@pytest.mark.parametrize(
    ("args", "state", "reason", "line"),
    [
        (
            WAITED,
            "given",
            "",
            "gate: no answer in time. It stays given: 'edgehost fleet cancel r1' takes it back.",
        ),
        (
            WAITED,
            "executing",
            "Another waits.",
            "gate: not done in time. Another waits. It stays given: 'edgehost fleet cancel r1' takes it back.",
        ),
        (AT_ONCE, "given", "", "gate: given."),
        (CANCELLED, "given", "", "gate: given."),
        (WAITED, "asleep", "", "gate: asleep."),
        (WAITED, "failed", "It fell.", "gate: failed. It fell."),
        (WAITED, "successful", "", "gate: successful."),
    ],
)
def test_what_became_of_a_command_is_one_line_and_what_is_open_says_how_it_ends(
    args: argparse.Namespace, state: str, reason: str, line: str
) -> None:
    given = Given("gate", "topic", Operation.RESTART, "r1", asleep=False, state=state, reason=reason)
    assert outcome_lines(args, given) == [line]


def test_one_is_not_many() -> None:
    assert [count_of(count, "host") for count in (0, 1, 2)] == ["0 hosts", "1 host", "2 hosts"]


def test_the_help_says_that_words_about_hosts_narrow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "restart", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--host, --class and --label narrow each other: a host must meet all that is said" in said
    assert "may be repeated: any of them" in said
    assert "may be repeated: all of them" in said
