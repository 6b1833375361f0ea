"""The AEGIS ABI: AssemblyScript's own layout of strings and arrays, and AEGIS's few imports.

An export ``(string[][]) -> string[][]`` is given the host's JSON as pairs and answers in pairs; see
domain/aegis_convention for what becomes of what. A getter ``() -> string`` answers a JSON string. Functions on
numbers take a number, or a list of them. What a guest returns as a negative number is a refusal.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.abi.aegis_heap import ScriptHeap
from edgehost.adapters.sandbox.worker.agent_link import Agent
from edgehost.adapters.sandbox.worker.engine import Engine, HostTable
from edgehost.adapters.sandbox.worker.faults import Fault, GuestExit, Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from edgehost.adapters.sandbox.worker.wasm_constants import exported_constants
from edgehost.adapters.sandbox.worker.wasm_module import Export
from edgehost.domain.aegis_convention import RUNTIME_FUNCTIONS, Answer, Question, as_answer, as_question

ENV: Final = "env"
_LEVELS: Final = {"debug": 1, "log": 2, "info": 2, "warn": 3, "error": 4}
_LOG_BYTES: Final = 2 * wire.LONGEST_TEXT
_REASON_BYTES: Final = 1024
_WARNING: Final = 3
_CALLS_BETWEEN: Final = 256  # full collections, when the memory does not grow; one takes some 10 us
_SIGN: Final = 1 << 31
_EXACT: Final = 2**53  # up to here every whole number is a double
_NUMBERS: Final = "a list of numbers, such as [1, 2.5]"


class AegisAbi:
    """State of one module: its heap, once it is started."""

    def __init__(self, agent: Agent, plan: LoadPlan, wasm: bytes) -> None:
        self._agent, self._plan = agent, plan
        self._constants = exported_constants(wasm)
        self._heap: ScriptHeap | None = None
        self._engine: Engine | None = None
        self._pages = self._calls = 0

    def table(self) -> HostTable:
        """The host functions, with their signatures."""
        env: dict[str, tuple[str, Callable[..., Any]]] = {
            "abort": ("v(iiii)", self._abort),
            "seed": ("F()", _seed),
            "trace": ("v(iiFFFFF)", self._trace),
            "Date.now": ("F()", lambda: float(time.time_ns() // 1_000_000)),
            "performance.now": ("F()", lambda: time.monotonic_ns() / 1_000_000),
            "callJsFunction": ("i(i)", self._call_js_function),
        }
        for name, level in _LEVELS.items():
            env[f"console.{name}"] = ("v(i)", self._logger(level))
        return {(ENV, name): entry for name, entry in env.items()}

    def loaded(self, engine: Engine) -> None:
        """Find the heap; before the start function runs, since that may log and abort."""
        self._engine = engine
        self._heap = ScriptHeap(engine, self._constants, most_bytes=self._plan.output_bytes)

    def started(self, engine: Engine) -> None:
        """Run the top-level statements of a module that was built to wait for that."""
        for name in ("_start", "_initialize"):
            export = engine.module.exports.get(name)
            if export is not None and str(export.signature) == "v()":
                engine.invoke(export)
                break
        self._pages = engine.memory_pages()

    def call(self, engine: Engine, function: str, payload: bytes) -> bytes:
        """JSON in, JSON out; no output for a function that returns nothing."""
        export = engine.export(function)
        if function in RUNTIME_FUNCTIONS:
            raise Fault(wire.REFUSED, f"{function} belongs to the module's own runtime.")
        given = _read(payload)
        self._tidy(engine)
        try:
            document = self._answer(engine, export, given)
        except GuestExit as exit_:
            raise Fault(wire.FAILED, f"{function} ended with exit status {exit_.status}.") from None
        output = (
            b"" if document is ... else json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        )
        if len(output) > self._plan.output_bytes:
            raise Fault(
                wire.TOO_LARGE,
                f"the output is larger than {self._plan.output_bytes // 1024} KiB.",
                "Raise limits.output_kib or return less.",
            )
        return output

    def _answer(self, engine: Engine, export: Export, given: Any) -> Any:  # noqa: ANN401 - JSON
        params, results = export.signature.params, export.signature.results
        numbers = _numbers(given)
        if params not in {"", "i"} or results not in {"", "i"} or (params and numbers is not None):
            return _shown(engine.invoke(export, _required(export, numbers)))
        if not params:
            question = as_question(export.name, given if isinstance(given, dict) else {})
            return self._taken(export, engine.invoke(export), question)
        question = as_question(export.name, _object(given))
        heap = self._require_heap()
        pairs = heap.put_pairs(question.pairs)
        result = engine.invoke(export, (pairs,))  # a trap leaves it pinned: the instance is not used again
        try:
            # The answer is read before anything else runs in the guest: nothing holds it.
            return self._taken(export, result, question)
        finally:
            heap.unpin(pairs)

    def _taken(self, export: Export, result: int | None, question: Question) -> Any:  # noqa: ANN401 - JSON
        if result is None:
            return ...
        if result < 0 or result >= _SIGN:
            number = result - 2 * _SIGN if result >= _SIGN else result
            raise Fault(wire.FAILED, f"{export.name} refused with {number}.")
        said: Answer = as_answer(question, self._require_heap().take(result), self._plan.types)
        if said.refusal:
            raise Fault(wire.FAILED, said.refusal)
        return said.document

    def _tidy(self, engine: Engine) -> None:
        """Collect now and then: the module's own collector runs only while it allocates, or not at all.

        Between two calls nothing of the guest's is on its stack, so that only what it holds itself stays.
        """
        self._calls += 1
        pages = engine.memory_pages()
        if pages > self._pages or self._calls >= _CALLS_BETWEEN:
            self._require_heap().collect()
            self._calls, self._pages = 0, engine.memory_pages()

    def _require_heap(self) -> ScriptHeap:
        if self._heap is None:
            raise Trap("the module uses its host before it is loaded")
        return self._heap

    def _abort(self, message: int, file: int, line: int, column: int) -> NoReturn:
        heap = self._require_heap()
        reason = heap.clipped(message, _REASON_BYTES) if message else "abort"
        where = heap.clipped(file, _REASON_BYTES) if file else "?"
        raise Trap(f"{reason} in {where}:{line & 0xFFFFFFFF}:{column & 0xFFFFFFFF}")

    def _trace(self, message: int, count: int, *values: float) -> None:
        shown = [f"{value:g}" for value in values[: max(0, count)]]
        text = self._require_heap().clipped(message, _LOG_BYTES)
        self._log(_LEVELS["debug"], " ".join((text, *shown)))

    def _logger(self, level: int) -> Callable[[int], None]:
        def log(text: int) -> None:
            self._log(level, self._require_heap().clipped(text, _LOG_BYTES))

        return log

    def _call_js_function(self, _pairs: int) -> int:
        self._log(_WARNING, "callJsFunction does nothing: the convention never said what it does")
        return 0

    def _log(self, level: int, text: str) -> None:
        if level >= self._plan.log_level:
            self._agent.log(level, text)


def _seed() -> float:
    return float(int.from_bytes(os.urandom(6), "little"))


def _read(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    if not payload.strip():
        return None
    try:
        return json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Fault(
            wire.REFUSED,
            "the input is no JSON.",
            f'Give an object, such as {{"key": "value"}}, or {_NUMBERS}.',
        ) from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _object(given: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Fault(wire.REFUSED, "the input is no object.", 'Give one, such as {"key": "value"}.')
    return given


def _numbers(given: Any) -> list[float] | None:  # noqa: ANN401 - JSON
    values = given if isinstance(given, list) else [given]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return values


def _required(export: Export, numbers: list[float] | None) -> list[float]:
    if numbers is None and export.signature.params:
        raise Fault(wire.REFUSED, f"{export.name} takes numbers.", f"Give {_NUMBERS}.")
    return numbers if numbers is not None and export.signature.params else []


def _shown(result: Any) -> Any:  # noqa: ANN401 - wasm3's own type
    if isinstance(result, tuple):
        return [_shown(value) for value in result]
    if result is None:
        return ...
    if isinstance(result, float) and not math.isfinite(result):
        return "NaN" if math.isnan(result) else "Infinity" if result > 0 else "-Infinity"
    is_whole = isinstance(result, float) and result.is_integer() and abs(result) < _EXACT
    return int(result) if is_whole else result
