"""The firmware of the demo's boards, and the configuration of the host that bridges them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from edgehost.domain.errors import NotFoundError, UnavailableError
from firmware_bridge.device.firmware_build import built_firmware
from firmware_bridge.device.provision import provisioned
from remotes.keys import load_signer

CONFIG: Final = """\
[host]
name = "demo"
data = "data"

[api]
tcp_port = 0

[[remotes]]
name = "{remote}"
transport = "folder"
path = "mirror"
root = "root.json"

[devices.{device}]
line = "{line}"
board = "{machine}"
interval_ms = 100
silence_s = 1.0

[devices.pico]
line = "{pico}"
board = "pico"
"""


def firmware_for(folder: Path, board: str) -> Path:
    """Compiled for the board and told whom it believes: BOARD.elf, and the same as a flat BOARD.bin, which is returned.

    Raises:
        NotFoundError, UnavailableError: a compiler is missing, or it does not compile.
    """
    try:
        built = built_firmware(board)
    except FileNotFoundError:
        raise _not_installed("make") from None
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"make failed: {error.stderr[-1500:]}") from None
    public = load_signer(folder / "keys" / "device.key").public_key.keyval["public"]
    uid = f"demo-{board}".encode()[:8]
    image, flat = folder / f"{board}.elf", folder / f"{board}.bin"
    image.write_bytes(provisioned(built.read_bytes(), uid, [bytes.fromhex(public)]))
    run_tool("arm-none-eabi-objcopy", "-O", "binary", image, flat)
    return flat


def run_tool(tool: str, *words: object) -> None:
    """Run a compiler or the like to its end.

    Raises:
        NotFoundError: it is not installed.
        UnavailableError: it fails.
    """
    try:
        done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise _not_installed(tool) from None
    if done.returncode:
        raise UnavailableError(f"{tool} failed: {done.stderr[-1500:]}")


def _not_installed(tool: str) -> NotFoundError:
    return NotFoundError(f"{tool} is not installed.", hint="make demo ARGS=devices installs it on Debian.")
