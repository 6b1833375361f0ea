"""``edgehost import`` and ``edgehost export`` against a host that serves in a thread of its own."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cbor2
import pytest

from edgehost.cli.main import main
from edgehost.domain.record import Record
from tests.api.scene import NOTES, TELEMETRY, Kept, served


class Served:
    """A server on a Unix socket, stopped from outside."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept()
        self._folder = folder
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with served(NOTES, TELEMETRY, kept=self.kept, unix_socket=self._folder / "host.sock"):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def records(self, model: str) -> list[Record]:
        async def scan() -> list[Record]:
            return [record async for record in self.kept.store.scan(model)]

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(scan(), self._loop).result()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    Path("edgehost.toml").write_text('[api]\nunix_socket = "host.sock"\n')
    with Served(tmp_path) as server:
        yield server


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("ending", ["ndjson", "cbor"])
def test_records_travel_through_a_file_and_an_import_can_be_repeated(
    host: Served, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    Path("in.ndjson").write_text(
        "".join(json.dumps({"id": f"n{n}", "data": {"n": n, "x": "y" * 400}}) + "\n" for n in range(3000))
    )
    assert main(["--json", "import", "notes", "in.ndjson"]) == 0
    assert report(capsys) | {"errors": []} == {
        "lines": 3000,
        "created": 3000,
        "replaced": 0,
        "unchanged": 0,
        "failed": 0,
        "stopped": False,
        "errors": [],
    }
    assert main(["export", "notes", f"out.{ending}"]) == 0
    assert "MiB" in capsys.readouterr().out
    assert main(["--json", "import", "notes", f"out.{ending}"]) == 0
    assert report(capsys)["unchanged"] == 3000
    assert main(["export", "notes", f"part.{ending}", "n__lt=2", "fields=n"]) == 0
    content = Path(f"part.{ending}").read_bytes()
    if ending == "cbor":
        stream = io.BytesIO(content)
        data = [cbor2.load(stream)["data"] for _ in range(2)]
    else:
        data = [json.loads(line)["data"] for line in content.splitlines()]
    assert data == [{"n": 0}, {"n": 1}]


def test_errors_name_the_line_of_the_file(host: Served, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ['{"sensor": "a"}'] * 3000
    lines[20] = ""
    lines[2500] = '{"sensor": 7}'
    Path("in.ndjson").write_text("\n".join(lines))
    assert main(["import", "readings", "in.ndjson", "--on-error", "skip"]) == 1
    told = capsys.readouterr().out
    assert "line 2501: " in told
    assert "2998 created, 1 failed." in told
    assert len(host.records("telemetry")) == 2998


def test_stop_stops_and_says_so(host: Served, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ['{"sensor": "a"}'] * 100_000
    lines[10] = "{"
    Path("in.ndjson").write_text("\n".join(lines))
    assert main(["import", "readings", "in.ndjson"]) == 1
    told = capsys.readouterr().out
    assert "line 11: " in told
    assert "stopped before the end" in told
    assert len(host.records("telemetry")) < 1000


def test_unknown_models_files_and_conditions_are_told(
    host: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.ndjson").write_text("{}\n")
    assert main(["import", "notess", "in.ndjson"]) == 5
    assert main(["import", "notes", "none.ndjson"]) == 5
    assert main(["export", "notess", "out.ndjson"]) == 5
    assert main(["export", "readings", "out.ndjson", "nonsense=1"]) == 1
    assert main(["export", "notes", "out.ndjson", "nonsense"]) == 2
    assert main(["export", "notes", "none/out.ndjson"]) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["edgehost.toml", "host.sock", "in.ndjson"]
    capsys.readouterr()


def test_standard_input_and_output_can_be_used(
    host: Served, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in.ndjson").write_text('{"id": "a", "data": {"n": 1}}\n')
    with Path("in.ndjson").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["import", "notes", "-"]) == 0
    capfdbinary.readouterr()
    assert main(["export", "notes", "-"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["data"] == {"n": 1}
