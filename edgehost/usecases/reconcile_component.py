"""Carry out what is planned for one component; what was done is seen in the next plan."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from edgehost.domain.deployment_plan import Action, Choice, ComponentPlan
from edgehost.domain.errors import EdgehostError, NotFoundError, RemoteUnreachableError
from edgehost.domain.release_life import Release
from edgehost.domain.traffic import Share
from edgehost.usecases.deployment_facts import HostFacts
from edgehost.usecases.deployment_firmware import FirmwareHands, NoBoards, is_device


@dataclass(slots=True)
class ComponentHands:
    """The verbs of the manager, of configuration and of bindings, in the order of a plan."""

    facts: HostFacts
    firmware: FirmwareHands = field(default_factory=NoBoards)
    fetching: set[str] = field(default_factory=set)  # whose work can be given up in the middle

    async def carry_out(self, plan: ComponentPlan) -> None:
        """All of it.

        Raises:
            EdgehostError: a step could not be done; those before it are.
        """
        manager = self.facts.manager
        if is_device(plan.component):
            await self.firmware.carry_out(plan)
            return
        if plan.does(Action.STOP):
            await manager.withdraw(plan.component, plan.reason)
            return
        if plan.does(Action.DEPLOY) or plan.does(Action.TRY):
            await self._bring(plan, await self.fetched(plan))
        for digest in plan.stop if plan.does(Action.END_TRIAL) else ():
            release = self._known(digest)
            with suppress(NotFoundError):  # it ended by itself
                await manager.end_trial(plan.component, release.version, plan.reason)
        if plan.does(Action.CONFIGURE):
            await self._configure(plan)
        await self._bind(plan)

    async def prepare(self, plan: ComponentPlan) -> None:
        """Fetch what the plan brings live, and see that it starts and answers its probe here.

        Raises:
            EdgehostError: it does not, or cannot be had now.
        """
        if is_device(plan.component):
            self.fetching.add(plan.component)
            try:
                await self.firmware.prepare(plan)
            finally:
                self.fetching.discard(plan.component)
            return
        if not plan.does(Action.DEPLOY):
            if plan.does(Action.TRY):
                await self.fetched(plan)
            return
        release = await self.fetched(plan)
        with self.facts.configs.proposed(plan.component, release.digest, plan.config):
            await self.facts.manager.rehearse(release)

    async def fetched(self, plan: ComponentPlan) -> Release:
        """The plan's release on the shelf.

        Raises:
            EdgehostError: it cannot be had now.
        """
        target = _required(plan)
        known = self.facts.manager.deployer.ledger.by_digest(target.digest)
        if target.here and known is not None:
            return known
        self.fetching.add(plan.component)
        try:
            for offer, follower in self.facts.offers(plan.component):
                if offer.digest == target.digest:
                    return await follower.shelved(offer)
        finally:
            self.fetching.discard(plan.component)
        raise RemoteUnreachableError(
            f"{plan.component} {target.version} is not on the shelf, and no remote offers it now.",
            hint="It is fetched once a remote has it again.",
        )

    async def _bring(self, plan: ComponentPlan, release: Release) -> None:
        manager, configs = self.facts.manager, self.facts.configs
        live = manager.deployer.ledger.live(plan.component)
        before = configs.of(plan.component, release.digest)
        await configs.keep(
            plan.component, release.digest, plan.config, live="" if live is None else live.digest
        )
        try:
            if plan.share:
                await manager.give_share(release, Share(weight=plan.share))
            else:
                await manager.deploy(release, pinned=False)
        except EdgehostError:
            await configs.keep(plan.component, release.digest, before)
            raise

    async def _configure(self, plan: ComponentPlan) -> None:
        manager, configs, digest = self.facts.manager, self.facts.configs, _required(plan).digest

        async def keep() -> None:
            await configs.keep(plan.component, digest, plan.config, live=digest)

        with configs.proposed(plan.component, digest, plan.config):
            await manager.restart(plan.component, keep)

    async def _bind(self, plan: ComponentPlan) -> None:
        """As many as can be bound; the error is the first one's."""
        failed: EdgehostError | None = None
        for what, target in plan.bindings.items():
            try:
                await self.facts.ports.bind(what, target)
            except EdgehostError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _known(self, digest: str) -> Release:
        release = self.facts.manager.deployer.ledger.by_digest(digest)
        if release is None:
            raise NotFoundError(f"No release has the digest {digest}.")
        return release


def _required(plan: ComponentPlan) -> Choice:
    if plan.target is None:
        raise NotFoundError(f"Nothing is planned for {plan.component}.")
    return plan.target
