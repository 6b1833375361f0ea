"""What journeys with devices need."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test with a device comes first also waits for the compilers of its firmware."""
    for item in items:
        module = getattr(item, "module", None)
        has_device = hasattr(module, "Workshop") or hasattr(module, "built")
        if has_device and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))
