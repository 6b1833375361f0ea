"""What an idle host does not load: each of these was found in it, unused, and cost from 0.1 to 3 MB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from tests.adapters.sandbox.guests import PLUGIN, no_host, plan_of

#: Of the standard library: readers of packages, HTTP clients, MIME, archives, differences.
_STANDARD: Final = {
    "bz2", "configparser", "csv", "ctypes", "difflib", "email.parser", "http.client", "http.cookies",
    "importlib.metadata", "logging.config", "lzma", "multiprocessing", "tarfile", "urllib.request", "uuid", "zipfile",
}  # fmt: skip
_LIBRARIES: Final = {
    "aiocoap", "click", "cryptography", "dns", "jsonschema", "pymavlink", "pymongo", "referencing", "securesystemslib",
    "serial", "tuf", "wasm3", "websockets", "wsproto", "uvicorn.main",
}  # fmt: skip
_OWN: Final = {
    "edgehost.adapters.boards", "edgehost.adapters.fleet", "edgehost.adapters.upstream", "edgehost.adapters.vehicles",
    "edgehost.api.coap_gateway", "edgehost.cli.host_client", "edgehost.composition.diagnosis",
    "edgehost.composition.fleet", "firmware_bridge",
}  # fmt: skip

#: 30 KB each. Past it: import what the hosts at hand do not use where it is used; then raise it by what is left.
_MOST_OWN: Final = 430

_HOST: Final = """
import asyncio, sys
from pathlib import Path
import edgehost.cli.run_command, edgehost.cli.run, edgehost.composition.life_opening, edgehost.host
from edgehost.config import load_config
from edgehost.domain.record_schema import RecordSchema
from remotes.lean_mqtt import load_lean

async def main():
    async with edgehost.host.started_host(load_config(Path("edgehost.toml"))):
        load_lean()
        import remotes.mqtt_transport
        tasks = Path("/proc/self/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
        print("children", *children)
        schema = {"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]}
        RecordSchema(schema).require_valid({"celsius": 21.5})
        for name in sys.modules:
            print("module", name)

asyncio.run(main())
"""


def test_an_idle_host_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    loaded, _ = _told(tmp_path)
    assert "edgehost.host" in loaded
    assert sorted(loaded & (_STANDARD | _LIBRARIES | _OWN)) == []
    own = [name for name in loaded if name.startswith(("edgehost.", "remotes."))]
    assert len(own) <= _MOST_OWN


def test_a_host_without_components_keeps_no_other_process(tmp_path: Path) -> None:
    _, children = _told(tmp_path)
    assert children == ""


async def test_the_zygote_whose_pages_every_sandbox_shares_loads_no_archives() -> None:
    async with open_sandbox_factory() as factory:
        await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        mapped = _mapped(factory.zygote_pid)
    assert "python" in mapped
    assert [name for name in ("_bz2", "_lzma", "_random", "_ssl") if name in mapped] == []


def _mapped(pid: int) -> str:
    return Path("/proc", str(pid), "maps").read_text()


def _told(folder: Path) -> tuple[set[str], str]:
    """The modules of a host that runs, and the numbers of its child processes."""
    (folder / "edgehost.toml").write_text('[host]\nname = "idle"\n\n[api]\ntcp_port = 0\n')
    done = subprocess.run(
        [sys.executable, "-c", _HOST], cwd=folder, check=False, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return (
        {name for kind, _, name in lines if kind == "module"},
        " ".join(rest for kind, _, rest in lines if kind == "children"),
    )
