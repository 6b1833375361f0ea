"""A remote over a real broker: an unchanged poll, a published release to verified bytes, bytes on the wire."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.domain.component_spec import read_component_spec
from remotes.mirror import mirror_repository
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.publisher import publish_release
from remotes.remote import RemoteOptions, TrustedRemote, open_trusted_remote
from remotes.repository import Repository
from remotes.root_ceremony import init_repository
from remotes.target_changes import Published
from remotes.transport import Transport

NOW = 1_800_000_000.0
SIZE = 50_000


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that every benchmark has
    """Rows of name, value and unit."""
    return asyncio.run(measure(3 if quick else 15))


async def measure(rounds: int) -> list[dict[str, Any]]:
    """All figures, over so many releases."""
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        async with bench_site(Path(scratch), idle_s=60.0) as site:
            first = await timed(site.remote.refresh)
            unchanged = [await timed(site.remote.refresh) for _ in range(rounds)]
            warm = [await site.publish_and_fetch(f"1.{number}.0") for number in range(rounds)]
            big = await site.publish_and_fetch("2.0.0", size=2_000_000)
            counted = site.counting
        async with bench_site(Path(scratch) / "cold", idle_s=0.0) as site:
            await site.remote.refresh()
            cold = [await site.publish_and_fetch(f"1.{number}.0") for number in range(rounds)]
    return [
        row("remote: first check, trust process started", first * 1000, "ms"),
        row("remote: poll without news", statistics.median(unchanged) * 1000, "ms"),
        row("remote: 50 KB published to verified bytes, warm", statistics.median(warm) * 1000, "ms"),
        row("remote: 50 KB published to verified bytes, cold", statistics.median(cold) * 1000, "ms"),
        row("remote: 2 MB published to verified bytes, warm", big * 1000, "ms"),
        row("remote: bytes received per 50 KB release", counted.per_release(SIZE), "bytes"),
    ]


def row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit}


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


@dataclass
class Counting:
    """What the reader received, by release size."""

    inner: Transport
    received: int = 0

    def __post_init__(self) -> None:
        self.address = self.inner.address
        self.publish, self.remove, self.changes = self.inner.publish, self.inner.remove, self.inner.changes
        self.link_changes = self.inner.link_changes
        self.by_size: dict[int, list[int]] = {}

    @property
    def connected(self) -> bool:
        return self.inner.connected

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        content = await self.inner.fetch(path, most_bytes=most_bytes)
        self.received += len(content or b"")
        return content

    def per_release(self, size: int) -> float:
        return statistics.median(self.by_size[size])


@dataclass
class BenchSite:
    repository: Repository
    signer: CryptoSigner
    publisher: Transport
    counting: Counting
    remote: TrustedRemote

    def publish(self, version: str, size: int = SIZE) -> Published:
        spec = read_component_spec({"name": "telemetry", "version": version, "kind": "adapter"})
        content = random.Random(version).randbytes(size)  # noqa: S311 - must only differ
        return publish_release(self.repository.folder, spec, content, signers=[self.signer], now=NOW)

    async def publish_and_fetch(self, version: str, *, size: int = SIZE) -> float:
        """Seconds from the call that publishes to bytes whose signature and digests hold."""
        changes, before = self.remote.changes(), self.counting.received
        started = time.perf_counter()
        change = await asyncio.to_thread(self.publish, version, size)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                mirror_repository(self.repository, self.publisher, fresh=change.fresh, before=change.before),
                name="bench.mirror",
            )
            await anext(changes)
            offer = (await self.remote.refresh())[-1]
            content = await self.remote.fetch(offer)
            seconds = time.perf_counter() - started
        assert len(content) == size
        self.counting.by_size.setdefault(size, []).append(self.counting.received - before)
        return seconds


@asynccontextmanager
async def bench_site(folder: Path, *, idle_s: float) -> AsyncIterator[BenchSite]:
    signer = CryptoSigner.generate_ed25519()
    init_repository(
        folder / "repository",
        root_keys=[signer.public_key],
        root_threshold=1,
        online_keys=[signer.public_key],
        signers=[signer],
        now=NOW,
    )
    repository = Repository(folder / "repository")
    async with open_broker() as broker:
        options = MqttOptions(
            broker.host, broker.tcp_port, mqtt_version="3.1.1" if broker.kind == "amqtt" else "auto"
        )
        async with (
            open_mqtt_transport("bench", options) as publisher,
            open_mqtt_transport("bench", options) as reader,
        ):
            counting = Counting(reader)
            async with open_trusted_remote(
                "bench",
                counting,
                folder=folder / "state",
                root_file=repository.folder / "metadata/1.root.json",
                now=lambda: NOW,
                options=RemoteOptions(trust_idle_s=idle_s),
            ) as remote:
                site = BenchSite(repository, signer, publisher, counting, remote)
                site.publish("0.1.0")
                await mirror_repository(repository, publisher)
                yield site


if __name__ == "__main__":
    for line in run(quick=False):
        print(f"{line['name']:<60} {line['value']:>12} {line['unit']}")
