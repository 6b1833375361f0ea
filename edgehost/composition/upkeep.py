"""The disk's watch and the meter of writes, wired to the host's rooms."""

from __future__ import annotations

from edgehost.adapters.services.disk_gauge import written_by_process
from edgehost.composition.rooms import Rooms
from edgehost.domain.errors import EdgehostError
from edgehost.usecases.collect_shelf import collect_shelf
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.measure_writes import WriteMeter
from remotes.owned_tasks import Spawn, keep_running
from remotes.write_count import WRITTEN


def keep_up(rooms: Rooms, control: ControlHost, spawn: Spawn) -> None:
    """Watch the disk and measure writes for as long as the host runs."""

    async def make_room() -> int:
        try:
            return len(await collect_shelf(rooms.shelf, rooms.ledger, keep_good=1))
        except EdgehostError:
            return 0

    rooms.disk.make_room = make_room
    meter = WriteMeter(
        deployment_bytes=lambda: rooms.shelf_disk.written_bytes + WRITTEN.count,
        all_bytes=written_by_process,
        size_of=lambda digest: getattr(rooms.ledger.by_digest(digest), "size_bytes", 0),
        bus=rooms.bus,
        clock=rooms.clock,
    )
    control.written_of = meter.of
    control.more_status |= {"disk": rooms.disk.status, "writes": meter.status}
    control.more_findings.append(rooms.disk.findings)
    keep_running(spawn, rooms.disk.run, "edgehost.disk")
    keep_running(spawn, meter.run, "edgehost.writes")
