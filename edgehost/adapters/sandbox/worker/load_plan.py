"""What the agent tells a sandbox about the component it is to run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from edgehost.adapters.sandbox.worker.wasm_module import PAGE


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Travels as JSON in the LOAD frame; both sides are ours."""

    abi: str = "extism"
    memory_kib: int = 4096
    stack_kib: int = 64
    input_bytes: int = 262_144
    output_bytes: int = 262_144
    host_calls: int = 10_000
    log_lines: int = 1000
    log_level: int = 1  # index into wire.LEVELS: below it the guest's lines are not wanted
    functions: tuple[str, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    types: Mapping[str, str] = field(default_factory=dict)  # of the data's members, for an ABI of strings

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return self.memory_kib * 1024

    @property
    def memory_pages(self) -> int:
        """The memory limit in whole pages."""
        return self.memory_bytes // PAGE

    def to_json(self) -> bytes:
        """For the LOAD frame."""
        return json.dumps(asdict(self)).encode()


def read_load_plan(document: bytes) -> LoadPlan:
    """The plan in a LOAD frame."""
    members = json.loads(document)
    members["functions"] = tuple(members["functions"])
    return LoadPlan(**members)
