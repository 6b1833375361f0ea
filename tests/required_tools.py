"""Programs that tests need: missing is a failure in CI and a skip with its reason elsewhere."""

from __future__ import annotations

import os
import shutil

import pytest


def require_tool(name: str) -> str:
    """The path of a program that a test needs: a failure in CI, a skip with its reason elsewhere."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"'{name}' is not installed; see debian-packages.txt"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
