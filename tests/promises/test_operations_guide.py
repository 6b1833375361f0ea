"""docs/operations.md, followed word by word on loopback: its files are written, its commands run in their order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgehost.adapters.broker.free_port import free_port
from tests.required_tools import require_tool

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
#: A file with its name in front, or commands; those of "background" run on.
BLOCK = re.compile(
    r"(?:^`(?P<file>[a-z/.]+)`:\n\n)?^```(?P<kind>\w+)(?P<how> \w+)?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
HOSTS = ("gate", "shed")
_START_S = 20.0


class Site:
    """The scratch folder in which the guide is followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.running: list[subprocess.Popen[bytes]] = []
        commands = Path(sys.executable).parent
        self.environment = {
            "PATH": f"{commands}:/usr/sbin:{os.environ['PATH']}",
            "HOME": str(folder),
            "EDGEHOST": str(ROOT),
            "EDGEHOST_PASSPHRASE": "correct horse battery staple",
        }

    def shortened(self, text: str) -> str:
        """The same with a port that is free, and less patience."""
        text = text.replace("8883", str(self.port)).replace("soak_s = 600", "soak_s = 1")
        text = text.replace("config_trial_s = 60", "config_trial_s = 2")
        return text.replace('commands = "signed"', 'commands = "signed"\nsettle_s = 1')

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith("mosquitto.conf") and os.geteuid() == 0:
            text += "user root\n"  # else it becomes a user that cannot write here
        file.write_text(self.shortened(text))

    def run(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.shortened(text)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=50,
            check=False,
        )
        output = done.stdout.decode()
        assert done.returncode == 0, f"{text}\n{output}"
        return output

    def start(self, text: str) -> None:
        with (self.folder / f"background-{len(self.running)}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", self.shortened(text)],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        for name in HOSTS:
            if f"-c {name}/" in text:
                wait(
                    lambda name=name: (self.folder / name / "data/edgehost.sock").exists(), "a host's socket"
                )
        if "mosquitto" in text:
            wait(self._listens, "the broker")

    def fleet(self) -> list[dict[str, object]]:
        command = "EDGEHOST_FLEET=ops/fleet.toml edgehost fleet ls --json 2>/dev/null"
        hosts: list[dict[str, object]] = json.loads(self.run(command))["hosts"]
        return hosts

    def somebody_waits(self) -> bool:
        return "waits for an approval" in json.dumps(self.fleet())

    def stop(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        try:
            for process in self.running:
                process.wait(timeout=20)
        finally:
            for process in self.running:
                process.kill()
                process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def wait(holds: object, what: str) -> None:
    """Processes say nothing to their starter; knocking is the only way to know."""
    end = time.monotonic() + _START_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.timeout(300)
def test_the_guide_sets_a_fleet_up_rotates_its_keys_and_repairs_it(tmp_path: Path) -> None:
    for tool in ("mosquitto", "mosquitto_pub", "mosquitto_sub", "mosquitto_passwd", "openssl"):
        require_tool(tool)
    outputs: list[str] = []
    with site(tmp_path) as scene:
        for block in BLOCK.finditer(GUIDE):
            text = block["text"]
            if block["file"]:
                scene.write(block["file"], text)
            elif block["kind"] == "sh" and block["how"]:
                scene.start(text)
            elif block["kind"] == "sh":
                if "fleet approve" in text:
                    wait(scene.somebody_waits, "somebody who waits for an approval")
                outputs.append(scene.run(text))
    assert len(outputs) == GUIDE.count("\n```sh\n")
    said = "\n".join(outputs)
    assert said.count("successful") >= 6
    assert "shed" in said
    assert "1.0.0" in said


def test_the_examples_of_configuration_that_are_not_run_can_be_read(tmp_path: Path) -> None:
    """What stands in a block of toml without a name is taken by a host."""
    from edgehost.config import load_config  # noqa: PLC0415 - this test alone needs it

    loose = [
        block["text"] for block in BLOCK.finditer(GUIDE) if block["kind"] == "toml" and not block["file"]
    ]
    assert loose
    for text in loose:
        (tmp_path / "edgehost.toml").write_text(text)
        assert load_config(tmp_path / "edgehost.toml").remotes
