"""One module in wasm3, with every check that pywasm3 leaves to its caller."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import wasm3

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.faults import Fault, Trap, invalid
from edgehost.adapters.sandbox.worker.wasm_module import PAGE, Export, read_module

HostFunction = Callable[..., Any]
#: Host functions by (module, name), each with the signature that the guest must declare.
HostTable = Mapping[tuple[str, str], tuple[str, HostFunction]]

_TRAP: Final = "[trap] "
_BITS: Final = {"i": 32, "I": 64}
_LARGEST_F32: Final = 3.4028235677973366e38  # from here on, rounding to nearest gives infinity
_KNOWN_MODULES: Final = ("extism:host/env", "extism:host/user", "wasi_snapshot_preview1")


class Engine:
    """A loaded module. Any answer of wasm3 that is neither a result nor a trap condemns the process."""

    def __init__(self, wasm: bytes, table: HostTable, *, memory_kib: int, stack_kib: int) -> None:
        self.module = read_module(wasm, memory_pages=memory_kib * 1024 // PAGE)
        missing = [name for name in self.module.imports if name not in table]
        if missing:
            raise _not_linkable(missing, table)
        environment = wasm3.Environment()
        self._runtime = environment.new_runtime(stack_kib * 1024)
        self._functions: dict[str, Any] = {}
        try:
            module = environment.parse_module(self.module.normalised)
            self._runtime.load(module)
            for (space, name), declared in self.module.imports.items():
                signature, function = table[space, name]
                if str(declared) != signature:
                    raise invalid(f"{space}.{name} is imported as {declared}; it is {signature}.")
                module.link_function(space, name, signature, function)
        except RuntimeError as error:
            raise invalid(f"wasm3 cannot load the module: {error}.") from None

    def start(self) -> None:
        """Run the start function, if there is one; once, after the host functions are ready."""
        if self.module.start is not None:
            self.invoke(self.module.start)

    def exports(self) -> tuple[str, ...]:
        """Compile every exported function and name them."""
        for name, export in self.module.exports.items():
            self._find(export.engine_name, repr(name))
        return tuple(self.module.exports)

    def export(self, name: str) -> Export:
        """The exported function of this name."""
        export = self.module.exports.get(name)
        if export is None:
            raise Fault(
                wire.NO_EXPORT, f"there is no export {name[:128]!r}.", _known_exports(self.module.exports)
            )
        return export

    def invoke(self, export: Export, arguments: Sequence[float] = ()) -> Any:  # noqa: ANN401 - wasm3's own type
        """Run it; arguments are checked here, since wasm3 reads past what it is given."""
        values = checked_arguments(export, arguments)
        function = self._functions.get(export.engine_name) or self._find(
            export.engine_name, repr(export.name)
        )
        try:
            return function(*values)
        except RuntimeError as error:
            raise _fault_of(error) from None

    def trusted(self, export: Export) -> HostFunction:
        """The function itself, for a caller that makes its arguments: right in number, integers signed."""
        function = self._find(export.engine_name, repr(export.name))

        def run(*values: float) -> Any:  # noqa: ANN401 - wasm3's own type
            try:
                return function(*values)
            except RuntimeError as error:
                raise _fault_of(error) from None

        return run

    def memory(self) -> memoryview:
        """The guest's memory as it is now: growing it moves it, so the view must not be kept."""
        view: memoryview | None = self._runtime.get_memory(0)
        return memoryview(bytearray()) if view is None else view

    def memory_pages(self) -> int:
        """How many pages the guest's memory has now."""
        return self.memory().nbytes // PAGE

    def _find(self, engine_name: str, shown: str) -> Any:  # noqa: ANN401 - wasm3's own type
        try:
            function = self._runtime.find_function(engine_name)
        except RuntimeError as error:
            raise Fault(
                wire.INVALID,
                f"wasm3 cannot compile {shown[:140]}: {error}.",
                "Build for the MVP plus sign extension, saturating conversion, multi-value and memory.copy/fill.",
            ) from None
        self._functions[engine_name] = function
        return function


def checked_arguments(export: Export, arguments: Sequence[float]) -> list[float]:
    """The arguments as wasm3 may have them: right in number, type and range, integers signed."""
    kinds = export.signature.params
    if len(arguments) != len(kinds):
        raise Fault(wire.REFUSED, f"{export.name} takes {len(kinds)} arguments; {len(arguments)} were given.")
    return [_checked(f"argument {n + 1}", *pair) for n, pair in enumerate(zip(kinds, arguments, strict=True))]


def _checked(what: str, kind: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault(wire.REFUSED, f"{what} is no number.")
    bits = _BITS.get(kind)
    if bits is None:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf if value > 0 else -math.inf
        if math.isinf(number) and value not in (math.inf, -math.inf):
            raise Fault(wire.REFUSED, f"{what} is out of the range of f64.")
        if kind == "f" and math.isfinite(number) and abs(number) >= _LARGEST_F32:
            raise Fault(wire.REFUSED, f"{what} is out of the range of f32.")
        return number
    if not isinstance(value, int):
        raise Fault(wire.REFUSED, f"{what} must be a whole number.")
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise Fault(wire.REFUSED, f"{what} is out of the range of i{bits}.")
    return value - (1 << bits) if value >= 1 << bits - 1 else value


def _fault_of(error: RuntimeError) -> Fault:
    text = str(error)
    if text.startswith(_TRAP):
        return Trap(text[len(_TRAP) :])
    return Fault(wire.ENGINE, f"wasm3 gave up: {text}.")


def _not_linkable(missing: list[tuple[str, str]], table: HostTable) -> Fault:
    space, name = missing[0]
    shown = f"{space[:64]}.{name[:64]}"
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    if space == "extism:host/user":
        granted = sorted(n for s, n in table if s == space)
        return invalid(
            f"the module imports {shown}{more}, which it was not granted.",
            f"Granted: {', '.join(granted) or 'nothing'}. Add it to grants.functions, if it is a host function.",
        )
    if space in _KNOWN_MODULES:
        return invalid(f"the module imports {shown}{more}, which this host does not have.")
    return invalid(
        f"the module imports {shown}{more}; there is no such host module.",
        f"Known: {', '.join(_KNOWN_MODULES)}.",
    )


def _known_exports(exports: Mapping[str, Export]) -> str:
    names = sorted(exports)
    return (
        f"It exports {', '.join(name[:64] for name in names[:20])}." if names else "It exports no function."
    )
