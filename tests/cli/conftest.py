"""What every test of a command may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_levels_as_before() -> Iterator[None]:
    """A command sets the level of logs for its process, and here that is everybody's."""
    loggers = (logging.getLogger(), logging.getLogger("edgehost.sandbox"))
    before = [each.level for each in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
