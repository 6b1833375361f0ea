"""The toolchain port on the Bytecode Alliance's ``wasm-tools``."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from edgehost.domain.errors import InvalidComponentError, UnavailableError
from edgehost.domain.wasm_sections import read_sections

#: What wasm3 0.5 runs.
FEATURES: Final = "mvp,sign-extension,saturating-float-to-int,multi-value,bulk-memory,mutable-global"

#: Instructions of those proposals that wasm3 0.5 lacks; it would notice at the first call of the function only.
_MISSING: Final = ("memory.init", "data.drop", "table.init", "table.copy", "elem.drop")

#: A 1.5 MB module takes under a second; a hang must not become the author's.
_TIMEOUT_S: Final = 120.0
_LONGEST_MESSAGE: Final = 600


class WasmTools:
    """Runs one ``wasm-tools`` executable, a process for each step."""

    def __init__(self, executable: str | None = None) -> None:
        self._executable = executable

    async def normalised(self, wasm: bytes) -> bytes:
        """The module, valid for the hosts' feature set, shortest encodings, without custom sections."""
        read_sections(wasm)  # bounded and cheap: garbage never reaches the tool
        with tempfile.TemporaryDirectory(prefix="edgehost-build-") as folder:
            given, text, clean = (Path(folder) / name for name in ("given.wasm", "text.wat", "clean.wasm"))
            await asyncio.to_thread(given.write_bytes, wasm)
            # Printing and parsing writes every index in its shortest form: LLVM's five-byte call_indirect
            # immediates are refused by wasm3. Names and debug sections are left behind.
            await self._run("strip", "--all", "-o", str(clean), str(given))
            await self._run("print", "-o", str(text), str(clean))
            await asyncio.to_thread(_require_known_instructions, text)
            await self._run("parse", "-o", str(clean), str(text))
            await self._run("validate", "--features", FEATURES, str(clean))
            return await asyncio.to_thread(clean.read_bytes)

    async def _run(self, *arguments: str) -> None:
        await asyncio.to_thread(self._run_in_thread, arguments)

    def _run_in_thread(self, arguments: tuple[str, ...]) -> None:
        try:
            done = subprocess.run(
                [self._found(), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(
                f"wasm-tools {arguments[0]} did not end within {_TIMEOUT_S:g} s.", hint="Is the module huge?"
            ) from None
        except OSError as error:
            raise UnavailableError(
                f"wasm-tools cannot be started: {error.strerror}.", hint="Check the executable's permissions."
            ) from error
        if done.returncode:
            raise InvalidComponentError(
                f"The module is not valid for edgehost ({arguments[0]}): {_short(done.stderr)}",
                hint=f"Build with -mcpu=mvp or the like; hosts run these features: {FEATURES}.",
            )

    def _found(self) -> str:
        if self._executable is None:
            beside = Path(sys.executable).with_name("wasm-tools")  # of this virtual environment
            self._executable = str(beside) if beside.is_file() else shutil.which("wasm-tools")
        if self._executable is None:
            raise UnavailableError("wasm-tools is not installed.", hint="pip install 'edgehost[build]'")
        return self._executable


def _require_known_instructions(text: Path) -> None:
    with text.open(encoding="utf-8") as lines:
        for line in lines:
            word = line.lstrip().partition(" ")[0].rstrip()
            if word in _MISSING:
                raise InvalidComponentError(
                    f"The module uses the instruction {word!r}, which the hosts' interpreter lacks.",
                    hint="Build with -mcpu=mvp, or without bulk-memory and reference-types.",
                )


def _short(complaint: bytes) -> str:
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines()]
    return " ".join(line for line in lines if line)[:_LONGEST_MESSAGE]
