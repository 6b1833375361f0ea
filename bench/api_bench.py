"""Requests per CPU-second of the server's own process, beside a bare Starlette handler in the same run."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CONNECTIONS = 32
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
READING = {
    "device": "sensor-1",
    "place": {"room": "hall", "floor": 2},
    "celsius": 21.5,
    "pascal": 101_325,
    "at": 1_700_000_000,
}


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """One row for each figure."""
    requests = 2_000 if quick else 8_000
    rounds = 1 if quick else 3
    figures: dict[tuple[str, str], list[float]] = {}
    speeds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):  # one after the other, so that a busy moment of the machine hits both
        for kind in ("edgehost", "starlette"):
            with _server(kind) as (pid, tcp_port):
                for what, per_cpu_s, per_s in asyncio.run(_measure(pid, tcp_port, requests)):
                    figures.setdefault((kind, what), []).append(per_cpu_s)
                    speeds.setdefault((kind, what), []).append(per_s)
    rows = []
    for what, label in (
        ("get", "GET by id"),
        ("post", "POST with durable write"),
        ("patch", "PATCH with durable write"),
    ):
        ours = statistics.median(figures["edgehost", what])
        row: Row = {"name": f"api: {label}", "value": round(ours), "unit": "requests/CPU-s"}
        row["wall_per_s"] = round(statistics.median(speeds["edgehost", what]))
        if ("starlette", what) in figures:
            bare = statistics.median(figures["starlette", what])
            row |= {"bare_starlette": round(bare), "ratio": round(ours / bare, 2)}
        rows.append(row)
    return rows


async def _measure(pid: int, tcp_port: int, requests: int) -> list[tuple[str, float, float]]:
    created = await _post_once(tcp_port)
    item = created["path"]
    kinds = {
        "get": (f"GET {item} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(), b"200"),
        "post": (_with_body("POST", created["list"], READING), b"201"),
    }
    results = []
    for what, (request, status) in kinds.items():
        await _load(
            tcp_port, [request] * (requests // 10), status
        )  # the first requests import and fill caches
        results.append((what, *await _timed(pid, tcp_port, [request] * requests, status)))
    if created["patch"]:
        patches = [_with_body("PATCH", item, {"at": number}) for number in range(requests)]
        results.append(("patch", *await _timed(pid, tcp_port, patches, b"200")))
    return results


async def _timed(pid: int, tcp_port: int, requests: list[bytes], status: bytes) -> tuple[float, float]:
    cpu, wall = _cpu_s(pid), time.perf_counter()
    await _load(tcp_port, requests, status)
    return len(requests) / (_cpu_s(pid) - cpu), len(requests) / (time.perf_counter() - wall)


async def _post_once(tcp_port: int) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
    writer.write(_with_body("POST", "/api/models/readings", READING))
    head, _ = await _answer(reader)
    writer.close()
    path = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"location:"))
    return {
        "path": path.partition(b":")[2].strip().decode(),
        "list": "/api/models/readings",
        "patch": b"etag" in head.lower(),
    }


def _with_body(method: str, path: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _load(tcp_port: int, requests: list[bytes], status: bytes) -> None:
    waiting = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
        for request in waiting:
            writer.write(request)
            head, _ = await _answer(reader)
            assert head.startswith(b"HTTP/1.1 " + status), head
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as tasks:
        for number in range(CONNECTIONS):
            tasks.create_task(one(), name=f"bench.connection.{number}")


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


@contextmanager
def _server(kind: str) -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.api_servers", kind, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process.pid, int(process.stdout.readline())
            finally:
                process.stdin.close()  # it serves until then
                process.wait(timeout=20)


if __name__ == "__main__":
    for row in run(quick="--quick" in sys.argv):
        print(row)
