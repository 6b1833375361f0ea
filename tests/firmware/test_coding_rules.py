"""The device's own C keeps the rules of MISRA C:2012 that a checker sees, but for those that are said to be left."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.required_tools import require_tool

#: Each version sees other rules, and sees some of them where they are kept.
_CHECKER: Final = "Cppcheck 2.10"
_DEVICE: Final = Path(__file__).parents[2] / "firmware_bridge/device"
_ROW: Final = re.compile(r"\| ((?:\d+\.\d+(?:, )?)+) \| ")
_FINDING: Final = re.compile(r"^(\S+) misra-c2012-(\d+\.\d+)$", re.MULTILINE)


def test_the_rules_that_are_not_kept_are_those_that_are_listed(tmp_path: Path) -> None:
    checker = require_tool("cppcheck")
    version = subprocess.run(
        [checker, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != _CHECKER:
        pytest.skip(f"the list is that of {_CHECKER}, and this is {version}")
    _, _, section = (_DEVICE / "PROTOCOL.md").read_text().partition("## Coding rules")
    listed = {rule for row in _ROW.findall(section) for rule in row.split(", ")}
    command = [
        checker, "--std=c11", "--platform=unix32", "--addon=misra", "--quiet", "--max-configs=1",
        f"--cppcheck-build-dir={tmp_path}", "--template={file}:{line} {id}",
        "-I.", "-Isrc", '-DBOARD_FILE="boards/lm3s6965evb.h"', "src",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=_DEVICE, capture_output=True, text=True, check=True)
    found: dict[str, str] = {}
    for place, rule in _FINDING.findall(done.stderr):
        found.setdefault(rule, place)
    assert {rule: place for rule, place in found.items() if rule not in listed} == {}
    assert listed - found.keys() == set(), "these are kept by now"
