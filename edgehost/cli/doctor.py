"""Check this machine, the configuration and the running host; each finding says what to do.

Works with and without a running host. The exit code is 1 when something is wrong; notes do not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.finding import Finding, State, good, note, wrong
from edgehost.cli.host_config import config_path, last_good_config
from edgehost.cli.output import Output, table
from edgehost.cli.progress import Progress
from edgehost.config import Config, load_config
from edgehost.domain.errors import EdgehostError, NotFoundError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration file says what to look at."""


def run(args: argparse.Namespace, out: Output) -> int:
    """Look at everything, then say it."""
    with Progress("checking", out):
        findings = list(all_findings(args))
    is_wrong = any(finding.state is State.WRONG for finding in findings)
    rows = []
    for finding in findings:
        rows.append(
            (
                finding.state.upper() if finding.state is State.WRONG else finding.state,
                finding.subject,
                finding.what,
            )
        )
        if finding.advice:
            rows.append(("", "", f"-> {finding.advice}"))
    out.result(
        {
            "healthy": not is_wrong,
            "findings": [
                {"subject": each.subject, "state": each.state, "what": each.what, "advice": each.advice}
                for each in findings
            ],
        },
        *table(("state", "about", "finding"), rows),
    )
    return FAILED if is_wrong else OK


def all_findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    from edgehost.cli import (  # noqa: PLC0415 - none of it for --help
        file_checks,
        life_checks,
        machine_checks,
        network_checks,
        sandbox_check,
    )

    yield from machine_checks.check_versions()
    yield machine_checks.check_clock()
    yield from life_checks.check_kernel()
    yield from sandbox_check.check_sandbox()
    path = config_path(args)
    config: Config | None = None
    is_whole = False
    try:
        config = load_config(path)
        is_whole = True
    except NotFoundError as problem:
        # Named on the command line or in the environment, it was meant to be there.
        kind = wrong if args.config_file else note
        yield kind("configuration", problem.message, problem.hint)
    except EdgehostError as problem:
        yield wrong("configuration", problem.message, problem.hint)
        config = last_good_config(path)
        if config is not None:
            yield note(
                "configuration", "the host starts on its last good generation instead.", "Mend the file."
            )
    if config is None:
        return
    if is_whole:
        yield good("configuration", f"{path} holds")
    yield from machine_checks.check_disk(config)
    yield from life_checks.check_signed_times(config)
    yield from life_checks.check_life(config)
    yield from file_checks.check_secrets(config)
    yield from file_checks.check_certificates(config)
    yield from network_checks.check_host(config)
    yield from network_checks.check_remotes(config)
    yield from network_checks.check_fleet(config)
    yield from network_checks.check_upstreams(config)
