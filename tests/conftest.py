"""What every test may use."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that the host uses."""
    return "asyncio"


def require_tool(name: str) -> str:
    """The path of a program that a test needs: a failure in CI, a skip with its reason elsewhere."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"'{name}' is not installed; see debian-packages.txt"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
