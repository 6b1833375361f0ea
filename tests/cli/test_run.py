"""``edgehost run`` in this process: it serves until it is asked to stop, and then ends cleanly."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edgehost.cli.host_client import HostClient
from edgehost.cli.main import main
from edgehost.domain.errors import UnavailableError


def _signalled_once_serving(unix_socket: Path, number: signal.Signals) -> threading.Thread:
    def send() -> None:
        host = HostClient(unix_socket)
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            try:
                host.control("GET", "status")
                break
            except UnavailableError:
                time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    (tmp_path / "edgehost.toml").write_text("[api]\ntcp_port = 0\n")
    sender = _signalled_once_serving(tmp_path / "data" / "edgehost.sock", number)
    try:
        assert main(["run", "-c", str(tmp_path)]) == 0
    finally:
        sender.join()
        signal.signal(number, before)
    assert capsys.readouterr().err.endswith("edgehost: stopped.\n")
    assert not (tmp_path / "data" / "edgehost.sock").exists()


def test_a_data_folder_that_cannot_be_is_named_by_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edgehost.toml").write_text('[host]\ndata = "edgehost.toml"\n[api]\nlisten = ""\n')
    assert main(["run", "-c", str(tmp_path)]) == 1
    assert "host.data is" in capsys.readouterr().err


def test_it_stops_when_asked_over_its_control_route(tmp_path: Path) -> None:
    (tmp_path / "edgehost.toml").write_text('[api]\nlisten = ""\n')
    client = HostClient(tmp_path / "data" / "edgehost.sock")

    def stop() -> None:
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            try:
                client.control("POST", "stop")
            except UnavailableError:
                time.sleep(0.01)
            else:
                return

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        assert main(["run", "-c", str(tmp_path)]) == 0
    finally:
        stopper.join()


def test_without_a_configuration_it_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-c", str(tmp_path)]) == 5
    assert "edgehost init" in capsys.readouterr().err
