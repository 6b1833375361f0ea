"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.journeys.weather_server import Weather, weather_server

# A busy machine is no failure, and continuous integration tries the same examples every time.
settings.register_profile("edgehost", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("edgehost")


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that the host uses."""
    return "asyncio"


@pytest.fixture
def weather() -> Iterator[Weather]:
    """A weather service over HTTP, for guests with ports."""
    with weather_server() as served:
        yield served
