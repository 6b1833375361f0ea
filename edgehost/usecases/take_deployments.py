"""Take up the deployments that a remote signs: read them, see whom they are for, and keep those for this host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from edgehost.domain.deployment import Audience
from edgehost.domain.deployment_events import DeploymentAccepted, DeploymentRefused, DeploymentSuperseded
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.deployment_reader import read_signed_deployment
from edgehost.domain.errors import ConflictError, EdgehostError, RefusedError, UntrustedReleaseError
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.ports.remote import Remote
from edgehost.usecases.deployment_book import DeploymentBook

log = logging.getLogger("edgehost.deployments")


@dataclass(frozen=True, slots=True)
class HostWords:
    """What an audience is compared with."""

    name: str
    device_class: str
    labels: Mapping[str, str]

    def are_among(self, audience: Audience) -> bool:
        """Whether the host belongs to an audience."""
        return audience.includes(self.name, self.device_class, self.labels)


@dataclass(slots=True)
class DeploymentIntake:
    """Meets FollowRemote's DesiredState."""

    host: HostWords
    book: DeploymentBook
    bus: EventBus
    clock: Clock
    wake: Callable[[], None] = lambda: None  # the reconciler
    shelf: ReleaseShelf | None = None  # where neighbours find the documents, whomever they are for
    _shelved: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # remote and name: digest of the newest
    _seen: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # remote and digest of what is not for us, or refused: why
    _late: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # remote and name of what is not here yet: why

    def holds(self, component: str) -> bool:
        """Whether the component belongs to a deployment."""
        return self.book.holds(component)

    async def look_at(self, remote: Remote) -> int:
        """Accept what the remote has of new deployments; returns how many could not be fetched or kept yet."""
        missing = 0
        for document in newest_deployments(remote):
            self._late.pop((remote.name, document.name), None)
            if (remote.name, document.digest) in self._seen or self._is_old(remote.name, document):
                continue
            try:
                await self._take(remote, document)
            except (UntrustedReleaseError, RefusedError, ConflictError) as error:
                missing += isinstance(error, UntrustedReleaseError)  # another mirror may serve it right
                self._refuse(remote, document, error)
            except EdgehostError as error:
                missing += 1
                self._late[remote.name, document.name] = str(error)
                log.warning("Deployment %s %s is not here yet: %s", document.name, document.version, error)
        self.wake()  # the offers may be others
        return missing

    def taken_in(self, remote: str, name: str) -> int:
        """The largest sequence of a name that was taken in from a remote; 0 when none was."""
        page = self.book.page(name)
        return page.floor if page.remote == remote else 0

    def why_not(self, remote: str, document: SignedDocument) -> str:
        """Why what a remote has is not taken in; "" when it is, or a newer one."""
        if self._is_old(remote, document):
            return ""
        why = self._seen.get((remote, document.digest)) or self._late.get((remote, document.name))
        return why or "It is being taken in."

    def _is_old(self, remote: str, document: SignedDocument) -> bool:
        page = self.book.page(document.name)
        return page.remote == remote and page.has_had(document.sequence)

    async def _take(self, remote: Remote, document: SignedDocument) -> None:
        content = await self._content(remote, document)
        deployment = read_signed_deployment(content, name=document.name, sequence=document.sequence)
        if not self.host.are_among(deployment.hosts):
            self._seen[remote.name, document.digest] = "It is not for this host."
            if self.book.page(document.name).all:
                for before in await self.book.let_go(document.name, remote.name, document.sequence):
                    self._superseded(before, document.sequence)
            return
        now = self.clock.now()
        held = HeldDeployment(deployment, content, remote.name, accepted_at=now, since=now)
        queued = await self.book.accept(held)
        if queued is not None:
            self._superseded(queued, document.sequence)
        log.info("Deployment %s %d is accepted.", deployment.name, deployment.sequence)
        self.bus.publish(
            DeploymentAccepted(
                at=now,
                deployment=deployment.name,
                sequence=deployment.sequence,
                digest=deployment.digest,
                remote=remote.name,
            )
        )

    def shelved(self) -> Iterable[str]:
        """The digests of documents that the shelf must keep."""
        held = (each.deployment.digest for page in self.book.pages().values() for each in page.all)
        return {*held, *self._shelved.values()}

    async def _content(self, remote: Remote, document: SignedDocument) -> bytes:
        if self.shelf is None:
            return await remote.fetch(document)
        self._shelved[remote.name, document.name] = document.digest
        if await self.shelf.has(document.digest):
            with suppress(EdgehostError):  # damaged: it is fetched again
                return await self.shelf.get(document.digest)
        content = await remote.fetch(document)
        try:
            await self.shelf.put(document.digest, content)
        except EdgehostError as error:  # what neighbours lack they have from elsewhere
            log.warning("Deployment %s %s is not shelved: %s", document.name, document.version, error)
        return content

    def _superseded(self, before: HeldDeployment, sequence: int) -> None:
        self.bus.publish(superseded(before, sequence, at=self.clock.now()))

    def _refuse(self, remote: Remote, document: SignedDocument, error: EdgehostError) -> None:
        key = (remote.name, document.digest)
        if isinstance(error, UntrustedReleaseError):
            self._late[remote.name, document.name] = str(error)
        else:
            self._seen[key] = f"It is refused: {error}"
        log.warning("Deployment %s %s is refused: %s", document.name, document.version, error)
        self.bus.publish(
            DeploymentRefused(
                at=self.clock.now(),
                deployment=document.name,
                sequence=document.sequence,
                digest=document.digest,
                remote=remote.name,
                reason=str(error),
            )
        )


def newest_deployments(remote: Remote) -> Sequence[SignedDocument]:
    """The newest deployment of each name that the last look at the remote found."""
    newest: dict[str, SignedDocument] = {}
    for document in remote.documents():  # oldest first in each name
        if document.kind is DocumentKind.DEPLOYMENT:
            newest[document.name] = document
    return tuple(newest.values())


def superseded(before: HeldDeployment, sequence: int, *, at: float) -> DeploymentSuperseded:
    """The fact that another sequence took its place."""
    return DeploymentSuperseded(
        at=at,
        deployment=before.deployment.name,
        sequence=before.deployment.sequence,
        digest=before.deployment.digest,
        by_sequence=sequence,
        state=str(before.state),
    )
