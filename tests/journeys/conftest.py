"""What journeys with devices need."""

from __future__ import annotations

import pytest

from tests.bridge.device_scene import Workshop
from tests.firmware.conftest import built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test with a device comes first also waits for the compilers of its firmware."""
    for item in items:
        names = vars(getattr(item, "module", object)).values()
        if (Workshop in names or built in names) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))
