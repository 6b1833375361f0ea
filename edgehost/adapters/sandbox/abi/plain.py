"""The plain ABI: a JSON list of numbers in, a JSON list of numbers out.

Integers may be given signed or unsigned and come back signed. JSON has no word for the special floats, so they
travel as the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.engine import Engine
from edgehost.adapters.sandbox.worker.faults import Fault, GuestExit

_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class PlainAbi:
    """Numbers only; no host functions of its own."""

    def table(self) -> dict[tuple[str, str], Any]:
        """Nothing to link."""
        return {}

    def loaded(self, engine: Engine) -> None:
        """Nothing to find."""

    def started(self, engine: Engine) -> None:
        """Run a reactor's initialisation."""
        init = engine.module.exports.get("_initialize")
        if init is not None and str(init.signature) == "v()":
            engine.invoke(init)

    def call(self, engine: Engine, function: str, payload: bytes) -> bytes:
        """Numbers in, numbers out."""
        export = engine.export(function)
        try:
            result = engine.invoke(export, read_numbers(payload))
        except GuestExit as exit_:
            if exit_.status:
                raise Fault(wire.FAILED, f"{function} ended with exit status {exit_.status}.") from None
            return b"[]"
        values = () if result is None else result if isinstance(result, tuple) else (result,)
        return json.dumps([_shown(value) for value in values]).encode()


def read_numbers(payload: bytes) -> list[float]:
    """The arguments in a call's payload; no payload is no arguments."""
    if not payload.strip():
        return []
    try:
        values = json.loads(payload, parse_constant=_SPECIAL.__getitem__)
    except (ValueError, RecursionError):
        raise Fault(
            wire.REFUSED, "the arguments are no JSON.", "Give a list of numbers, such as [1, 2.5]."
        ) from None
    if not isinstance(values, list):
        raise Fault(wire.REFUSED, "the arguments are no list.", "Give a list of numbers, such as [1, 2.5].")
    return [_SPECIAL[value] if isinstance(value, str) and value in _SPECIAL else value for value in values]


def _shown(value: float) -> float | str:
    if isinstance(value, int) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
