"""A publisher's workshop with all its keys, and what a thief of some of them can make there."""

from __future__ import annotations

import atexit
import copy
import functools
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp

from edgehost.adapters.broker.embedded_broker import Kind, open_broker
from edgehost.domain.component_spec import read_component_spec
from remotes.folder_transport import open_folder_transport
from remotes.mirror import Mirrored, mirror_repository
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.publisher import publish_release
from remotes.remote import RemoteOptions, TrustedRemote, open_trusted_remote
from remotes.repository import STANDARD_EXPIRY, Expiry, Repository
from remotes.root_ceremony import init_repository
from remotes.target_changes import Published
from remotes.transport import Source, Transport
from remotes.trust import SIGNED_AT
from tests.remotes.coap_carriers import COAP_CARRIERS, open_coap_carrier
from tests.remotes.web_carriers import WEB_CARRIERS, open_web_carrier
from tests.required_tools import require_tool

#: Well after the program was written, so that the clock's floor is no party to most tests.
NOW = 1_800_000_000.0
DAY = 86_400.0


def component_bytes(size: int = 50_000, seed: str = "one") -> bytes:
    """Bytes that differ from chunk to chunk and are the same in each run."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - must not be secret but the same


class Workshop:
    """One repository, its keys, and a clock that stands still."""

    def __init__(self, folder: Path, *, root_threshold: int = 2) -> None:
        self.folder = folder
        self.now = NOW
        self.root_signers = [CryptoSigner.generate_ed25519() for _ in range(3)]
        self.online = CryptoSigner.generate_ed25519()
        folder.mkdir(parents=True, exist_ok=True)
        init_repository(
            folder,
            root_keys=[signer.public_key for signer in self.root_signers],
            root_threshold=root_threshold,
            online_keys=[self.online.public_key],
            signers=self.root_signers[:2],
            now=self.now,
        )
        self.repository = Repository(folder)

    def copied(self, folder: Path) -> Workshop:
        """The same keys and files at another place; from here on, each goes its own way."""
        shutil.copytree(self.folder, folder)
        twin = copy.copy(self)
        twin.folder, twin.repository = folder, Repository(folder)
        return twin

    @property
    def root_file(self) -> Path:
        """The root that operators are given."""
        return self.folder / "metadata/1.root.json"

    def publish(
        self,
        version: str,
        *,
        name: str = "telemetry",
        content: bytes | None = None,
        expiry: Expiry = STANDARD_EXPIRY,
        keep: int = 3,
    ) -> Published:
        """A release in the folder."""
        spec = read_component_spec({"name": name, "version": version, "kind": "adapter"})
        content = component_bytes(seed=name + version) if content is None else content
        return publish_release(
            self.folder, spec, content, signers=[self.online], expiry=expiry, keep=keep, now=self.now
        )

    async def mirror(self, transport: Transport, change: Published | None = None) -> Mirrored:
        """The folder's state where readers look."""
        if change is None:
            return await mirror_repository(self.repository, transport)
        return await mirror_repository(self.repository, transport, fresh=change.fresh, before=change.before)

    def file(self, path: str) -> bytes:
        """One of the repository's files."""
        return (self.folder / path).read_bytes()

    def files(self) -> dict[str, bytes]:
        """All of them."""
        return {
            str(file.relative_to(self.folder)): file.read_bytes()
            for kind in ("metadata", "chunk")
            for file in (self.folder / kind).iterdir()
        }

    def forged_timestamp(self, snapshot: MetaFile, *, version: int, signer: Signer | None = None) -> bytes:
        """A timestamp as the thief of the online key makes it."""
        timestamp = Timestamp(
            version=version,
            expires=STANDARD_EXPIRY.of("timestamp", self.now),
            snapshot_meta=snapshot,
            unrecognized_fields={SIGNED_AT: int(self.now)},
        )
        return signed(timestamp, [signer or self.online])

    def forged_state(self, targets: Targets | dict[str, MetaFile], *, number: int) -> dict[str, bytes]:
        """Snapshot and timestamp with version ``number``, over these targets or over this snapshot content."""
        files = {}
        if isinstance(targets, Targets):
            content = signed(targets, [self.online])
            files[f"metadata/{targets.version}.targets.json"] = content
            metas = {"targets.json": meta(targets.version, content)}
        else:
            metas = targets
        snapshot = Snapshot(version=number, expires=STANDARD_EXPIRY.of("snapshot", self.now), meta=metas)
        content = signed(snapshot, [self.online])
        files[f"metadata/{number}.snapshot.json"] = content
        files["metadata/timestamp.json"] = self.forged_timestamp(meta(number, content), version=number)
        return files

    def targets(self) -> Targets:
        """The current targets, to be changed by a thief."""
        current = self.repository.targets()
        assert current is not None
        return current.signed


def signed(content: Any, signers: Sequence[Signer]) -> bytes:
    """The file that these keys make of it."""
    metadata = Metadata(content)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def meta(version: int, content: bytes) -> MetaFile:
    """What a snapshot or timestamp says of a file."""
    return MetaFile(version, len(content), {"sha256": hashlib.sha256(content).hexdigest()})


def changed(content: bytes, *path: str, to: object) -> bytes:
    """The JSON file with one value replaced and the signatures left as they were."""
    document = json.loads(content)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document).encode()


@dataclass
class Site:
    """A workshop, the place where it publishes, and a host that follows it."""

    shop: Workshop
    transport: Transport
    remote: TrustedRemote
    state: Path

    async def serve(self, files: dict[str, bytes]) -> None:
        """Put these files where the host looks, as somebody with the right to write there can."""
        for path, content in files.items():
            await self.transport.publish(path, content)

    def trusted_files(self) -> dict[str, bytes]:
        """What the host trusts, file by file."""
        folder = self.state / "trusted"
        return {
            str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }


@asynccontextmanager
async def open_carrier(carrier: str, folder: Path) -> AsyncIterator[tuple[Transport, Source]]:
    """A publisher's and a reader's transport: "folder", the name of a broker, or a carrier for the web or CoAP."""
    async with AsyncExitStack() as stack:
        if carrier in WEB_CARRIERS:
            yield await stack.enter_async_context(open_web_carrier(carrier, folder))
            return
        if carrier in COAP_CARRIERS:
            yield await stack.enter_async_context(open_coap_carrier(carrier, folder))
            return
        if carrier == "folder":
            place = folder / "mirror"
            place.mkdir()
            yield (
                await stack.enter_async_context(open_folder_transport(place, poll_s=0.02)),
                await stack.enter_async_context(open_folder_transport(place, poll_s=0.02)),
            )
            return
        kind: Kind = "amqtt" if carrier == "amqtt" else "mosquitto"
        if kind == "mosquitto":
            require_tool("mosquitto")
        broker = await stack.enter_async_context(open_broker(kind=kind))
        options = broker_options(broker.tcp_port, old=kind == "amqtt")
        yield (
            await stack.enter_async_context(open_mqtt_transport("demo", options)),
            await stack.enter_async_context(open_mqtt_transport("demo", options)),
        )


def broker_options(tcp_port: int, *, old: bool = False, answer_timeout_s: float = 10.0) -> MqttOptions:
    """A broker on loopback, without long waits."""
    return MqttOptions(
        "127.0.0.1",
        tcp_port,
        mqtt_version="3.1.1" if old else "auto",
        answer_timeout_s=answer_timeout_s,
        missing_timeout_s=0.3,
        backoff_base_s=0.02,
        backoff_most_s=0.1,
    )


@functools.cache
def furnished_workshop() -> Workshop:
    """Made once, to be copied: two releases of one component and one of another."""
    folder = tempfile.TemporaryDirectory(prefix="edgehost-workshop-")
    atexit.register(folder.cleanup)
    shop = Workshop(Path(folder.name) / "repository")
    shop.publish("1.0.0")
    shop.publish("2.0.0", name="pump")
    shop.publish("1.1.0")
    return shop


@asynccontextmanager
async def open_site(
    carrier: str, folder: Path, *, options: RemoteOptions | None = None
) -> AsyncIterator[Site]:
    """A host that has accepted two releases of one component and one of another."""
    shop = furnished_workshop().copied(folder / "repository")
    async with (
        open_carrier(carrier, folder) as (mine, theirs),
        open_trusted_remote(
            "demo",
            theirs,
            folder=folder / "state",
            root_file=shop.root_file,
            now=lambda: shop.now,
            options=options,
        ) as remote,
    ):
        await shop.mirror(mine)
        yield Site(shop, mine, remote, folder / "state")
