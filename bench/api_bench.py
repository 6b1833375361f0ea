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
ENDPOINT = "/api/models/readings"
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
    post = _with_body("POST", ENDPOINT, READING)
    created = await _load(tcp_port, [post] * (requests // 10), b"201")  # imports, and fills caches
    items = [_header(head, b"location").decode() for head in created]
    await _load(tcp_port, [_get(items[0])] * (requests // 10), b"200")
    results = [
        ("get", *await _timed(pid, tcp_port, [_get(items[0])] * requests, b"200")),
        ("post", *await _timed(pid, tcp_port, [post] * requests, b"201")),
    ]
    if b"etag:" in created[0].lower():
        patches = [_with_body("PATCH", items[n % len(items)], {"at": n}) for n in range(requests)]
        results.append(("patch", *await _timed(pid, tcp_port, patches, b"200")))
    return results


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def _header(head: bytes, name: bytes) -> bytes:
    lines = [line.partition(b":") for line in head.split(b"\r\n")]
    return next(value.strip() for key, _, value in lines if key.lower() == name)


async def _timed(pid: int, tcp_port: int, requests: list[bytes], status: bytes) -> tuple[float, float]:
    cpu, wall = _cpu_s(pid), time.perf_counter()
    await _load(tcp_port, requests, status)
    return len(requests) / (_cpu_s(pid) - cpu), len(requests) / (time.perf_counter() - wall)


def _with_body(method: str, path: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _load(tcp_port: int, requests: list[bytes], status: bytes) -> list[bytes]:
    waiting = iter(requests)
    heads: list[bytes] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status), head
            await reader.readexactly(int(_header(head, b"content-length")))
            heads.append(head)
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as tasks:
        for number in range(CONNECTIONS):
            tasks.create_task(one(), name=f"bench.connection.{number}")
    return heads


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
