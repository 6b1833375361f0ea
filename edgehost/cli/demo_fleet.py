"""The demo's publisher: keys, a repository, and what it puts on the broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.component_file import embed_spec, padded, read_component
from edgehost.domain.errors import NotFoundError
from edgehost.domain.spec_document import spec_document
from remotes.keys import PrivateKey, generate_key, load_public_key, load_signer
from remotes.mirror import mirror_repository
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.publisher import publish_release
from remotes.repository import Repository
from remotes.root_ceremony import init_repository
from remotes.target_changes import Published
from remotes.transport import Transport

REMOTE: Final = "fleet"
_ROOT_HOLDERS: Final = ("root-a", "root-b", "root-c")
_ROOT_THRESHOLD: Final = 2


@dataclass(slots=True)
class DemoFleet:
    """Two of three root keys, one online key, one repository, one broker."""

    folder: Path
    broker: MqttOptions
    online: PrivateKey = field(init=False)
    repository: Path = field(init=False)

    def make(self) -> Path:
        """Make keys and repository; returns the root.json that hosts are given."""
        keys = self.folder / "keys"
        for name in (*_ROOT_HOLDERS, "online"):
            generate_key(keys / f"{name}.key")
        self.online = load_signer(keys / "online.key")
        self.repository = self.folder / REMOTE
        init_repository(
            self.repository,
            root_keys=[load_public_key(keys / f"{name}.pub") for name in _ROOT_HOLDERS],
            root_threshold=_ROOT_THRESHOLD,
            online_keys=[load_public_key(keys / "online.pub")],
            signers=[load_signer(keys / f"{name}.key") for name in _ROOT_HOLDERS[:_ROOT_THRESHOLD]],
            now=SystemClock().now(),
        )
        return self.repository / "metadata" / "1.root.json"

    def sign(self, content: bytes) -> Published:
        """Sign a component as the newest release of its name; hosts see it once it is mirrored."""
        return publish_release(
            self.repository, read_component(content), content, signers=[self.online], now=SystemClock().now()
        )

    async def mirror(self, published: Published, *, tamper: bool = False) -> None:
        """Bring it to the broker; ``tamper`` plays somebody there who changes the code on its way."""
        async with open_mqtt_transport(REMOTE, self.broker) as transport:
            if tamper:
                await self._tamper(transport, published)
                return
            await mirror_repository(
                Repository(self.repository), transport, fresh=published.fresh, before=published.before
            )

    async def _tamper(self, transport: Transport, published: Published) -> None:
        """What an attacker with the broker's password can do: everything but sign."""
        for path in sorted(published.fresh, key=lambda path: (path.endswith("timestamp.json"), path)):
            content = await asyncio.to_thread((self.repository / path).read_bytes)
            if path.startswith("chunk/"):
                content = content[:-1] + bytes((content[-1] ^ 1,))
            await transport.publish(path, content)


def demo_component(name: str) -> bytes:
    """A component that edgehost brings along for the demo.

    Raises:
        NotFoundError: the installation lacks it.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "demo_components", here.parents[1] / "examples" / name.rpartition("-")[0]):
        file = folder / f"{name}.wasm"
        if file.is_file():
            return file.read_bytes()
    versioned = here.parents[1] / "examples" / name / f"{name}.wasm"
    if versioned.is_file():
        return versioned.read_bytes()
    raise NotFoundError(f"The demo's component {name}.wasm is missing.", hint="Install edgehost again.")


def as_version(component: bytes, version: str, size_bytes: int = 0) -> bytes:
    """The same component as another release, filled up to a size."""
    document = spec_document(read_component(component)) | {"version": version}
    renamed = embed_spec(component, document)
    return padded(renamed, size_bytes) if size_bytes > len(renamed) else renamed
