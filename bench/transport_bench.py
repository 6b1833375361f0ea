"""Every transport: seconds and bytes for 50 KB and 2 MB; what resuming, deltas and mirrors save."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehost.domain.errors import RemoteUnreachableError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.transfer import Transfer
from remotes.delta import make_delta
from remotes.remote import open_trusted_remote
from remotes.transport import Source
from tests.remotes.coap_carriers import COAP_CARRIERS
from tests.remotes.web_carriers import WEB_CARRIERS
from tests.remotes.workshop import Workshop, component_bytes, open_carrier

Row = dict[str, Any]

#: These are read from a disk.
FILES = ("folder", "stick")
CARRIERS = ("folder", "mosquitto", *WEB_CARRIERS, *COAP_CARRIERS)
SIZES = {"50 KB": 50_000, "2 MB": 2_000_000}
EXAMPLES = Path(__file__).parents[1] / "examples"
#: Pairs of releases that were really made one after the other.
STEPS = (("telemetry", "1.0.0", "1.1.0"), ("telemetry", "1.1.0", "1.2.0"))


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    return asyncio.run(_measure(2 if quick else 5))


async def _measure(rounds: int) -> list[Row]:
    rows: list[Row] = []
    for carrier in CARRIERS:
        with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
            rows += await _carrier(carrier, Path(scratch), rounds)
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        rows += await _resumed(Path(scratch))
    return [*rows, *_deltas()]


async def _carrier(carrier: str, folder: Path, rounds: int) -> list[Row]:
    """A release of each size, fetched by hosts that have nothing of it yet."""
    shop = Workshop(folder / "repository")
    for number, (name, size) in enumerate(SIZES.items()):
        shop.publish("1.0.0", name=f"part-{number}", content=component_bytes(size, name))
    rows = []
    async with open_carrier(carrier, folder) as (mine, theirs):
        await shop.mirror(mine)
        counting = Counting(theirs)
        for number, name in enumerate(SIZES):
            spent, received = [], []
            for turn in range(rounds):
                async with _host(shop, counting, folder / f"host-{number}-{turn}") as remote:
                    offer = _named(await remote.refresh(), f"part-{number}")
                    before, began = _line_bytes(), time.perf_counter()
                    await remote.fetch(offer)
                    spent.append(time.perf_counter() - began)
                    received.append(_line_bytes() - before)
            rows += [
                _row(f"{carrier}: {name} to verified bytes", statistics.median(spent) * 1000, "ms"),
                *(
                    []
                    if carrier in FILES
                    else [_row(f"{carrier}: {name}, over the line", min(received), "bytes")]
                ),
            ]
    return rows


async def _resumed(folder: Path) -> list[Row]:
    """A line that is cut in the middle of 2 MB: what is fetched again."""
    shop = Workshop(folder / "repository")
    shop.publish("1.0.0", name="part", content=component_bytes(SIZES["2 MB"], "resumed"))
    async with open_carrier("folder", folder) as (mine, theirs):
        await shop.mirror(mine)
        counting = Counting(theirs, cut_after=SIZES["2 MB"] // 2)
        async with _host(shop, counting, folder / "host") as remote:
            offer = _named(await remote.refresh(), "part")
            try:
                await remote.fetch(offer)
            except RemoteUnreachableError:
                counting.cut_after = None
            transfer = Transfer()
            await remote.fetch(offer, transfer=transfer)
    saved = transfer.resumed_bytes / offer.size_bytes
    return [
        _row("resume: 2 MB cut after half of it, fetched again", transfer.received_bytes, "bytes"),
        _row("resume: share of the release that was not fetched twice", saved * 100, "%"),
    ]


def _deltas() -> list[Row]:
    rows = []
    for component, old, new in STEPS:
        before, after = _example(component, old), _example(component, new)
        began = time.perf_counter()
        delta = make_delta(before, after)
        spent = time.perf_counter() - began
        name = f"delta: {component} {old} to {new} ({len(after)} bytes)"
        rows += [
            _row(f"{name}, fetched", len(delta), "bytes"),
            _row(f"{name}, saved", 100 * (1 - len(delta) / len(after)), "%"),
            _row(f"{name}, made in", spent * 1000, "ms"),
        ]
    return rows


def _example(component: str, version: str) -> bytes:
    folder = EXAMPLES / (component if version == "1.0.0" else f"{component}-{version}")
    return (folder / f"{component}-{version}.wasm").read_bytes()


def _line_bytes() -> int:
    """What the loopback interface has carried, heads and acknowledgements included; other programs' traffic too."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[0])
    return 0


def _host(shop: Workshop, source: Source, folder: Path) -> Any:  # noqa: ANN401 - an async context manager
    return open_trusted_remote("demo", source, folder=folder, root_file=shop.root_file, now=lambda: shop.now)


def _named(offers: tuple[OfferedRelease, ...], component: str) -> OfferedRelease:
    return next(offer for offer in offers if offer.component == component)


@dataclass
class Counting:
    """A source that counts content, and can be cut."""

    inner: Source
    cut_after: int | None = None
    received: int = field(default=0)

    @property
    def address(self) -> str:
        return self.inner.address

    @property
    def connected(self) -> bool:
        return self.inner.connected

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        if self.cut_after is not None and self.received >= self.cut_after:
            raise RemoteUnreachableError("The line was cut.")
        content = await self.inner.fetch(path, most_bytes=most_bytes)
        if path.startswith("chunk/"):
            self.received += len(content or b"")
        return content

    def changes(self) -> AsyncIterator[None]:
        return self.inner.changes()

    def link_changes(self) -> AsyncIterator[None]:
        return self.inner.link_changes()


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": round(value, 2), "unit": unit}


if __name__ == "__main__":
    for line in run(quick=False):
        print(f"{line['name']:<70} {line['value']:>12} {line['unit']}")
