"""What ``doctor`` asks of the sandbox: that it starts here, runs a module, and which defences the kernel gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgehost.cli.call_file import call_file
from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.domain.component_spec import Abi, Limits
from edgehost.domain.errors import EdgehostError
from edgehost.ports.sandbox import SandboxPlan

#: (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
_ADD: Final = bytes.fromhex(
    "0061736d010000000107016002 7f7f017f030201000707010361646400000a09010700200020016a0b"
)


def check_sandbox() -> Iterator[Finding]:
    """One call in one sandbox."""
    plan = SandboxPlan(component="doctor", wasm=_ADD, abi=Abi.PLAIN, limits=Limits(memory_kib=64))
    try:
        result = call_file(plan, "add", b"[20, 22]", log=lambda _component, _level, _line: None)
    except EdgehostError as problem:
        yield wrong(
            "sandbox",
            problem.message,
            problem.hint or "Install edgehost anew: its engine does not work here.",
        )
        return
    except OSError as problem:
        yield wrong("sandbox", f"it cannot be started: {problem.strerror}.", "Check the limits on processes.")
        return
    yield good("sandbox", f"a module ran; start {result.start_ms:.1f} ms, call {result.call_ms:.2f} ms")
    for defence, state in result.confinement.items():
        if state == "on":
            yield good(f"sandbox {defence}", "on")
        else:
            yield note(
                f"sandbox {defence}", state, "Use a kernel that has it: components are less confined here."
            )
