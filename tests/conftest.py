"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.journeys.weather_server import Weather, weather_server

# A busy machine is no failure, and continuous integration tries the same examples every time.
settings.register_profile(
    "edgehost",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("edgehost")

# A shell ignores Ctrl-C for what it starts in the background, and the programs that tests start would take that over.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that the host uses."""
    return "asyncio"


@pytest.fixture
def weather() -> Iterator[Weather]:
    """A weather service over HTTP, for guests with ports."""
    with weather_server() as served:
        yield served
