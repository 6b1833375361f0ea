"""A fleet of one for journeys: keys, a repository, a folder or broker remote, and a host in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.cli.host_client import HostClient
from edgehost.config import Config, load_config
from edgehost.domain.component_file import read_component
from edgehost.domain.events import Event
from edgehost.host import Host, started_host
from remotes.folder_transport import open_folder_transport
from remotes.keys import generate_key, load_public_key, load_signer
from remotes.mirror import mirror_repository
from remotes.publisher import publish_release
from remotes.repository import Repository
from remotes.root_ceremony import init_repository

CONFIG = """
[host]
name = "journey"
data = "data"
config_trial_s = {trial_s}
[api]
tcp_port = 0
{api}
[probation]
seconds = {probation_s}
[[remotes]]
name = "fleet"
transport = "folder"
path = "mirror"
root = "root.json"
"""


@dataclass
class Fleet:
    """A publisher with a folder that hosts look at."""

    folder: Path
    signer: Any = field(init=False)

    def __post_init__(self) -> None:
        generate_key(self.folder / "only.key")
        self.signer = load_signer(self.folder / "only.key")
        public = load_public_key(self.folder / "only.pub")
        init_repository(
            self.folder / "repository",
            root_keys=[public],
            root_threshold=1,
            online_keys=[public],
            signers=[self.signer],
            now=time.time(),  # noqa: TID251 - the publisher's wall clock
        )
        root = self.folder / "repository" / "metadata" / "1.root.json"
        (self.folder / "root.json").write_bytes(root.read_bytes())
        (self.folder / "mirror").mkdir()

    def config(self, *, probation_s: float = 60, api: str = "", more: str = "", trial_s: float = 0) -> Config:
        """``trial_s`` is 0 for hosts that are killed again and again, which is no reason for safe mode here."""
        file = self.folder / "edgehost.toml"
        file.write_text(CONFIG.format(probation_s=probation_s, api=api, trial_s=trial_s) + more)
        return load_config(file)

    async def publish(self, content: bytes) -> None:
        published = await asyncio.to_thread(
            publish_release,
            self.folder / "repository",
            read_component(content),
            content,
            signers=[self.signer],
            now=time.time(),  # noqa: TID251 - as above
        )
        async with open_folder_transport(self.folder / "mirror") as transport:
            await mirror_repository(
                Repository(self.folder / "repository"),
                transport,
                fresh=published.fresh,
                before=published.before,
            )

    @asynccontextmanager
    async def host(self, config: Config | None = None) -> AsyncIterator[RunningHost]:
        async with started_host(config or self.config()) as host:
            yield RunningHost(host)


@dataclass
class RunningHost:
    """A host in this process, asked over its socket as anybody would."""

    host: Host

    @property
    def client(self) -> HostClient:
        return HostClient(self.host.config.unix_socket)

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | int
    ) -> Any:
        answer = await asyncio.to_thread(self.client.request, method, path, body=body, query=query)
        return answer.json()

    async def live(self, component: str, version: str, *, timeout_s: float = 20) -> None:
        """Wait until this release is live."""
        await self.until(lambda: self.live_version(component) == version, timeout_s=timeout_s)

    def live_version(self, component: str) -> str:
        release = self.host.control.manager.deployer.ledger.live(component)
        return "" if release is None else release.version

    async def in_its_fleet(self) -> None:
        """Wait until the broker has shown this host to its fleet."""
        async with asyncio.timeout(30):
            while True:
                findings = (await self.request("GET", "/api/host/doctor"))["findings"]
                if any((each["check"], each["state"]) == ("fleet", "ok") for each in findings):
                    return
                await asyncio.sleep(0.05)

    async def until(self, holds: Any, *, timeout_s: float = 20) -> None:
        """Wait for a state that events lead to."""
        bus = self.host.control.manager.bus
        async with asyncio.timeout(timeout_s), bus.subscription(_any, backlog=1000) as events:
            while not holds():
                await anext(events)


def _any(_event: Event) -> bool:
    return True


def telemetry(version: str) -> bytes:
    """The telemetry example as any version."""
    base = "telemetry-1.2.0" if version.startswith("1.2") else "telemetry-1.0.0"
    content = demo_component(base)
    return content if version in base else as_version(content, version)
