"""Commands as a test runs them: in this process, with what they say as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgehost.cli.main import main

#: Words and the exit code that is expected -> the document; of a refusal the error in it.
Edgehost = Callable[..., dict[str, Any]]


def json_commands(capsys: pytest.CaptureFixture[str]) -> Edgehost:
    """What runs a command with ``--json``."""

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        found = main([*words, "--json"])
        captured = capsys.readouterr()
        assert found == code, captured.err
        document: dict[str, Any] = json.loads(captured.out or captured.err)
        return document.get("error", document) if code else document

    return run
