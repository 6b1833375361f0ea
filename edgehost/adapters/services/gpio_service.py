"""The service ``gpio``: named pins of the machine, by the kernel's character device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from edgehost.config_services import GpioOptions
from edgehost.domain.errors import InvalidConfigError, RefusedError, UnavailableError
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

_INSTALL: Final = "Install 'edgehost[gpio]'."


class Pins(Protocol):
    """The requested lines of a chip; as small as gpiod lets it be, so that a test can stand in."""

    def read(self, line: int) -> bool:
        """The level of a line."""
        ...

    def write(self, line: int, *, high: bool) -> None:
        """Drive an output."""
        ...

    def fileno(self) -> int:
        """Readable when an input has changed."""
        ...

    def changes(self) -> Iterable[tuple[int, bool]]:
        """The lines that have changed, and their new levels."""
        ...

    def close(self) -> None:
        """Give the lines back."""
        ...


#: Takes hold of the lines: (options, inputs, outputs).
PinsOpener = Callable[[GpioOptions, tuple[int, ...], tuple[int, ...]], Pins]


class GpioService:
    """A Service over pins that may not be there: then every call says so, and so does its health."""

    functions: Mapping[str, str] = {
        "read": 'the level of a pin: {"pin"}',
        "write": 'drive an output: {"pin", "high"}',
    }
    events: Mapping[str, str] = {"changed": 'an input changed: {"pin", "high"}'}

    def __init__(self, options: GpioOptions, notice: ServiceNotice, pins: Pins | None, why_not: str) -> None:
        self._inputs, self._outputs = _named(options.inputs), _named(options.outputs)
        self._names = {line: name for name, line in self._inputs.items()}
        self._options, self._notice = options, notice
        self._pins, self._why_not = pins, why_not

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401, ARG002 - at once
        """See ``functions``.

        Raises:
            RefusedError: there is no such pin, or it is an input.
            UnavailableError: the machine has no such chip, or it is taken.
        """
        if not isinstance(given, Mapping):
            raise RefusedError("A gpio service wants an object with a pin.")
        request = SpecReader(given, error=RefusedError)
        known = self._outputs if function == "write" else {**self._inputs, **self._outputs}
        name = request.choice("pin", known)
        high = request.flag("high", default=False) if function == "write" else False
        if function == "write" and not request.has("high"):
            raise request.refused("high", "is missing.")
        request.refuse_unknown()
        if self._pins is None:
            raise UnavailableError(f"{self._options.chip} cannot be used: {self._why_not}.")
        try:
            if function == "write":
                self._pins.write(known[name], high=high)
                return {}
            return {"pin": name, "high": self._pins.read(known[name])}
        except OSError as problem:
            raise UnavailableError(f"{self._options.chip}: {problem}.") from None

    def health(self) -> ServiceHealth:
        """Whether the chip is there."""
        if self._pins is None:
            return ServiceHealth("failed", f"{self._options.chip}: {self._why_not}", self._hint())
        return ServiceHealth()

    def tell_changes(self) -> None:
        """Tell what has changed; called when the pins are readable."""
        if self._pins is not None:
            for line, high in self._pins.changes():
                self._notice("changed", {"pin": self._names.get(line, str(line)), "high": high})

    def _hint(self) -> str:
        return (
            _INSTALL
            if "gpiod" in self._why_not
            else "Is it a machine with pins, and may this user open them?"
        )


def open_gpiod_pins(options: GpioOptions, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Pins:
    """The lines by the library ``gpiod``.

    Raises:
        ImportError: it is not installed.
        OSError: there is no such chip, or a line is taken.
    """
    import gpiod  # noqa: PLC0415 - a C extension that few machines need

    read = gpiod.LineSettings(direction=gpiod.line.Direction.INPUT, edge_detection=gpiod.line.Edge.BOTH)
    drive = gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT)
    config: dict[Any, Any] = {inputs: read} if inputs else {}
    config |= {outputs: drive} if outputs else {}
    request = gpiod.request_lines(str(options.chip), consumer="edgehost", config=config)

    class GpiodPins:
        def read(self, line: int) -> bool:
            return bool(request.get_value(line) == gpiod.line.Value.ACTIVE)

        def write(self, line: int, *, high: bool) -> None:
            request.set_value(line, gpiod.line.Value.ACTIVE if high else gpiod.line.Value.INACTIVE)

        def fileno(self) -> int:
            return int(request.fd)

        def changes(self) -> Iterable[tuple[int, bool]]:
            rising = gpiod.EdgeEvent.Type.RISING_EDGE
            return [(event.line_offset, event.event_type == rising) for event in request.read_edge_events()]

        def close(self) -> None:
            request.release()

    return GpiodPins()


@asynccontextmanager
async def open_gpio_service(
    name: str, options: GpioOptions, notice: ServiceNotice, *, opener: PinsOpener = open_gpiod_pins
) -> AsyncIterator[Service]:
    """A service; a machine without pins is no error, but a failed finding of the doctor.

    Raises:
        InvalidConfigError: two names or two lines are the same.
    """
    inputs, outputs = _named(options.inputs), _named(options.outputs)
    lines = [*inputs.values(), *outputs.values()]
    if len({*inputs, *outputs}) != len(lines) or len(set(lines)) != len(lines):
        raise InvalidConfigError(f"services.{name} names a pin or a line twice.")
    pins, why_not = None, "no pins are configured"
    if lines:
        try:
            pins = await asyncio.to_thread(opener, options, tuple(inputs.values()), tuple(outputs.values()))
        except (OSError, ValueError, ImportError) as problem:
            why_not = getattr(problem, "strerror", None) or str(problem)
    service = GpioService(options, notice, pins, why_not)
    if pins is None:
        yield service
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(pins.fileno(), service.tell_changes)
    try:
        yield service
    finally:
        loop.remove_reader(pins.fileno())
        pins.close()


def _named(pins: tuple[str, ...]) -> dict[str, int]:
    return {name: int(line) for name, _, line in (pin.partition("=") for pin in pins)}
