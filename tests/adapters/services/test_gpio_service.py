"""The service gpio, as far as a machine without pins can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.services.gpio_service import open_gpio_service
from edgehost.config_services import GpioOptions
from edgehost.domain.errors import InvalidConfigError, RefusedError, UnavailableError
from tests.adapters.services.service_scenes import MemoryPins, Told, opened


async def test_outputs_are_driven_inputs_are_read_and_told(tmp_path: Path) -> None:
    async with opened("gpio", tmp_path) as scene:
        pins: MemoryPins = scene.world
        await scene.service.call("write", {"pin": "lamp", "high": True}, timeout_s=1)
        assert pins.levels[17] is True
        pins.change(4, high=True)
        assert await scene.told.wait_for("changed") == [{"pin": "door", "high": True}]
        assert await scene.service.call("read", {"pin": "door"}, timeout_s=1) == {"pin": "door", "high": True}
        with pytest.raises(RefusedError):
            await scene.service.call("write", {"pin": "door", "high": True}, timeout_s=1)
        with pytest.raises(RefusedError):
            await scene.service.call("write", {"pin": "lamp"}, timeout_s=1)
    assert pins.closed


async def test_a_machine_without_pins_says_so_plainly(tmp_path: Path) -> None:
    options = GpioOptions(chip=tmp_path / "gpiochip0", outputs=("lamp=17",))
    async with open_gpio_service("pins", options, Told()) as service:
        health = service.health()
        assert health.state == "failed"
        assert "gpiochip0" in health.detail
        with pytest.raises(UnavailableError, match="cannot be used"):
            await service.call("write", {"pin": "lamp", "high": True}, timeout_s=1)


@pytest.mark.parametrize("pins", [("a=1", "a=2"), ("a=1", "b=1")])
async def test_a_pin_has_one_name_and_one_use(pins: tuple[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        async with open_gpio_service("pins", GpioOptions(inputs=pins[:1], outputs=pins[1:]), Told()):
            pass
