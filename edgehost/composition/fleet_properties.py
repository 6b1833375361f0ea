"""What a host shows of itself as properties and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.fleet_device_operations import devices_twin


@dataclass(frozen=True, slots=True)
class FleetProperties:
    """Properties: what changes seldom, without counters and times that always differ."""

    control: ControlHost
    readings: LinuxReadings
    is_set: Callable[[], bool]

    async def components(self) -> Mapping[str, Any]:
        """By name; what is live but does not run says why."""
        deployer, down = self.control.manager.deployer, self.control.manager.restarts.down
        found: dict[str, Any] = {}
        for name in deployer.ledger.live_components():
            release = deployer.ledger.live(name)
            if release is None:
                continue
            running = deployer.running.get(name)
            found[name] = {
                "version": release.version,
                "digest": release.digest,
                "state": "running" if running is not None else "down",
                "pinned": release.pinned,
                "remote": release.remote,
                "since": round(release.changed_at),
            }
            if running is None:
                found[name]["reason"] = down.get(name, "")
            candidates = [each.version for each in deployer.ledger.candidates(name)]
            if candidates:
                found[name]["candidates"] = candidates
        return found

    async def remotes(self) -> Mapping[str, Any]:
        """By name."""
        return {
            name: {"state": health.state} | ({"reason": health.reason} if health.reason else {})
            for name, (health, _) in self.control.remotes.items()
        }

    async def config(self) -> Mapping[str, Any]:
        """The generation of the configuration that runs."""
        life = self.control.life
        if life is None:
            return {}
        return {
            "generation": life.generation.number,
            "standing": str(life.generation.standing),
            "origin": life.generation.origin,
            "safe_mode": life.safe,
        }

    async def disk(self) -> Mapping[str, Any]:
        """In whole percent, so that it is shown when it matters."""
        read = await self.readings.read()
        used, total = read.get("disk_used_bytes"), read.get("disk_total_bytes")
        if not used or not total:
            return {}
        return {"used_percent": round(100 * used / total), "total_bytes": int(total)}

    async def clock(self) -> Mapping[str, Any]:
        """Whether this machine knows the time."""
        return {"set": self.is_set()}

    async def sandbox(self) -> Mapping[str, Any]:
        """How far components are confined."""
        return dict(self.control.confinement())

    async def devices(self) -> Mapping[str, Any]:
        """Those behind this host, by name."""
        return {} if self.control.bridged is None else devices_twin(self.control.bridged)

    async def certificates(self) -> Mapping[str, Any]:
        """Those that this host renews, by name."""
        return {} if self.control.certificates is None else await self.control.certificates.twin()

    async def calls(self) -> Mapping[str, Any]:
        """Calls and faults since each release came live."""
        rows: Sequence[Any] = self.control.manager.deployer.running.all()
        return {
            each.release.component: {"calls": each.conduct.calls, "faults": each.conduct.faults}
            for each in rows
        }
