"""The host functions of a trial: those of a real host with real readings, an empty memory and no other component."""

from __future__ import annotations

import json
from pathlib import Path

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.component_spec import Grants
from edgehost.domain.events import ComponentNotified, Event
from edgehost.domain.record import RevisionClock
from edgehost.ports.sandbox import GuestLog, HostCall
from edgehost.usecases.host_functions import HostFunctions
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents


class _ToldBus(LocalEventBus):
    """What a component says of its own is shown beside its log."""

    def __init__(self, log: GuestLog) -> None:
        super().__init__()
        self._log = log

    def publish(self, event: Event) -> None:
        """Show it, then hand it on."""
        if isinstance(event, ComponentNotified):
            self._log(event.component, "event", f"{event.name} {json.dumps(event.data, ensure_ascii=False)}")
        super().publish(event)


def trial_host_call(grants: Grants, log: GuestLog) -> HostCall:
    """The granted functions; what needs a live model or component answers that there is none."""
    clock, running = SystemClock(), RunningComponents()
    keeping = RecordKeeping(MemoryRecords(), _ToldBus(log), clock, RevisionClock("trial"), running)
    functions = HostFunctions(
        keeping, LiveModels(), LinuxReadings(Path.cwd()), lambda component: running.require(component).spec
    )
    return functions.granted(grants)
