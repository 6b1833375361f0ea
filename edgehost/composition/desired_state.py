"""The deployments of a host: what it has accepted, and what drives it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost.adapters.storage.deployment_files import ComponentConfigFile, DeploymentFiles
from edgehost.composition.rooms import Rooms
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.component_config import ComponentConfigs
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.deployment_book import DeploymentBook
from edgehost.usecases.deployment_facts import HostFacts
from edgehost.usecases.deployment_firmware import FirmwareHands, NoBoards
from edgehost.usecases.deployment_plans import DeploymentPlans
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.offered_deployments import offered_deployments
from edgehost.usecases.order_binding import is_led, order_binding
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.reconcile_component import ComponentHands
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.rollout_turn import AtOnce, RolloutTurn
from edgehost.usecases.take_deployments import DeploymentIntake, HostWords
from edgehost.usecases.view_deployments import DeploymentsView


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What the rooms that follow, roll out and show deployments need of it."""

    intake: DeploymentIntake
    reconciler: DeploymentReconciler
    view: DeploymentsView

    def held(self, name: str) -> Mapping[int, int]:
        """The sequences of a deployment that this host has, and how many waves each has."""
        found = [each.deployment for each in self.reconciler.book.page(name).all]
        return {each.sequence: len(each.rollout.waves) for each in found}


class PortBindings:
    """Bindings as operators change them: kept durably, and checked against what is here."""

    def __init__(self, rooms: PortRooms) -> None:
        self._rooms = rooms

    def bound(self) -> Mapping[str, str]:
        """What operators and deployments bound."""
        return self._rooms.bindings.table.operator

    def loose(self) -> frozenset[str]:
        """What is bound to an adapter or service that is not here any more."""
        return frozenset(
            what for what, target in self.bound().items() if not is_led(self._rooms, what, target)
        )

    async def bind(self, what: str, target: str) -> None:
        """Bind it; an empty target takes that back."""
        if not target and what not in self.bound():
            return
        await order_binding(self._rooms, what, target)


async def open_configs(rooms: Rooms) -> ComponentConfigs:
    """The configuration that deployments gave to components; before any of them is started."""
    configs = ComponentConfigs(ComponentConfigFile(rooms.config.host.data / "component-config.json"))
    await configs.load()
    return configs


async def make_desired_state(
    rooms: Rooms,
    manager: ComponentManager,
    control: ControlHost,
    configs: ComponentConfigs,
    *,
    turn: RolloutTurn | None = None,
    firmware: FirmwareHands | None = None,
) -> DesiredState:
    """What this host has accepted; ``reconciler.run`` drives it there."""
    book = DeploymentBook(DeploymentFiles(rooms.config.host.data / "deployments"))
    settings = rooms.config.host
    words = HostWords(settings.name, settings.device_class, settings.labels)
    await book.load(lambda held: words.are_among(held.deployment.hosts))
    facts = HostFacts(manager, configs, PortBindings(rooms.ports))
    boards = firmware or NoBoards()
    reconciler = DeploymentReconciler(
        book,
        DeploymentPlans(book, facts, boards),
        ComponentHands(facts, boards),
        rooms.bus,
        rooms.clock,
        turn=turn or AtOnce(),
    )
    intake = DeploymentIntake(words, book, rooms.bus, rooms.clock, wake=reconciler.wake, shelf=rooms.shelf)
    beside = rooms.ledger.beside
    rooms.ledger.beside = lambda: {*beside(), *intake.shelved()}
    view = DeploymentsView(reconciler, words)
    view.offered = lambda: offered_deployments(
        intake,
        [follower.remote for follower in manager.followers],
        [health for health, _ in control.remotes.values()],
    )
    control.deployment_views = view
    control.more_status["deployments"] = view.rows
    control.more_findings.append(lambda: _findings(view))
    changed = manager.changed

    def changed_all() -> None:
        changed()
        reconciler.wake()

    manager.changed = changed_all
    return DesiredState(intake, reconciler, view)


def _findings(view: DeploymentsView) -> Iterable[Mapping[str, Any]]:
    hints = view.hints()
    for name, row in view.rows().items():
        state = row["state"]
        if state in {RolloutState.FAILED, RolloutState.HALTED} or row["reason"]:
            yield {
                "check": f"deployment {row['deployment']} {row['sequence']}",
                "state": "failed" if state == RolloutState.FAILED else "warning",
                "detail": f"It is {state}. {row['reason']}".strip(),
                "hint": hints.get(name, "See 'edgehost deployment ls'."),
            }
