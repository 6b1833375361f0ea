"""What brings a module into the form that every host runs."""

from __future__ import annotations

from typing import Protocol


class Toolchain(Protocol):
    """A maintained WebAssembly tool on the author's machine."""

    async def normalised(self, wasm: bytes) -> bytes:
        """The module, valid for our hosts' feature set, shortest encodings, without custom sections.

        Raises:
            InvalidComponentError: it is not valid, or uses an instruction that the hosts' interpreter lacks.
            UnavailableError: the tool is not installed or does not answer.
        """
        ...
