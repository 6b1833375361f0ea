"""[store-1] A host that is killed with SIGKILL while it writes loses nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from edgehost.adapters.storage.tinydb_records import open_records

CHILD = """
import asyncio, os, sys
from pathlib import Path
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.record import Record

async def write(records, writer):
    for round_number in range(100_000):
        record_id = f"w{writer}-{round_number % 5}"
        data = {"round": round_number, "filling": "x" * 100}
        await records.put(Record("reading", record_id, data, f"r{round_number}", 1.0, 1.0))
        os.write(1, b"%s %d\\n" % (record_id.encode(), round_number))

async def main():
    async with open_records(Path(sys.argv[1]), min_dead_bytes=10_000) as records:
        async with asyncio.TaskGroup() as tasks:
            for writer in range(8):
                tasks.create_task(write(records, writer))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledgements", [1, 37, 900, 2500])
async def test_killed_while_writing_and_compacting(tmp_path: Path, acknowledgements: int) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    told: list[bytes] = []
    async with asyncio.timeout(30):
        while len(told) < acknowledgements:
            line = await child.stdout.readline()
            assert line, "the writer ended by itself"
            told.append(line)
        child.send_signal(signal.SIGKILL)
        told += (await child.stdout.read()).splitlines()
        await child.wait()
    acknowledged: dict[str, int] = {}
    for line in told:
        name, _, round_number = line.decode().partition(" ")
        acknowledged[name] = int(round_number)
    async with open_records(tmp_path) as records:
        found = {record.id: record.data["round"] async for record in records.scan("reading")}
        torn = [damage for damage in records.damage if "had not been acknowledged" not in str(damage)]
        assert torn == []
    for name, number in acknowledged.items():
        # The next write of the same name may have been durable, though nobody was told.
        assert found[name] in (number, number + 5)
