"""Desired state: what hosts should run, signed as one document.

A deployment says what should be, never what to do: a host drives itself there from what it has
(``usecases/reconcile_deployment``), again and again, until the document is replaced by one with a larger sequence.
Several deployments may hold on one host; a component belongs to the one with the highest ``priority``, then to the
newest, and the others are told that it is taken.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehost.domain.version_range import ANY_VERSION, VersionRange


@dataclass(frozen=True, slots=True)
class Audience:
    """[hosts]: whom it is for. Each line that is given must hold; an empty audience is every host.

    ``labels`` are compared with the host's own, all of them; ``classes`` and ``ids`` are alternatives.
    """

    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def includes(self, host: str, device_class: str, labels: Mapping[str, str]) -> bool:
        """Whether a host belongs to it."""
        return (
            (not self.ids or host in self.ids)
            and (not self.classes or device_class in self.classes)
            and all(labels.get(key) == value for key, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """RESET, then MERGE: ``reset`` names keys that go back to the component's own default, ``*`` all of them."""

    reset: tuple[str, ...] = ()
    merge: Mapping[str, str] = field(default_factory=dict)

    def applied_to(self, before: Mapping[str, str]) -> dict[str, str]:
        """The overrides after the change."""
        kept = {} if "*" in self.reset else {k: v for k, v in before.items() if k not in self.reset}
        return kept | dict(self.merge)


@dataclass(frozen=True, slots=True)
class WantedComponent:
    """[components.NAME]: one component of a deployment."""

    name: str
    versions: VersionRange = ANY_VERSION
    present: bool = True  # False: it should not run here
    config: ConfigChange = ConfigChange()
    bindings: Mapping[str, str] = field(
        default_factory=dict
    )  # what 'edgehost bind' takes: port or adapter to its target
    share: float = 0.0  # of the calls, for a version that is tried beside the live one; 0: it replaces it
    after: tuple[str, ...] = ()  # components of this deployment that must be live before


class OnFailure(enum.StrEnum):
    """What happens when a component cannot be brought where it should be."""

    ROLL_BACK = "roll-back"  # the component goes back to what it was; the others go on
    KEEP = "keep"  # it stays as it is now, for somebody to look at
    ALL_OR_NONE = "all-or-none"  # every component of the deployment goes back to what it was


@dataclass(frozen=True, slots=True)
class Gates:
    """[rollout.gates]: what a host must show during ``soak_s`` before the next wave begins.

    0 or "" is not looked at, but for the rates: 0 lets no call fail, 1 lets all of them.
    """

    error_rate: float = 0.05  # share of failed calls of the deployment's components, from calls_min calls on
    refusal_rate: float = 1.0  # share of calls that a component answers with an error of its own
    calls_min: int = 20
    latency_ms: float = 0.0  # p95 of calls
    restarts: int = 3  # sandboxes of the components that died
    check: str = ""  # an export that answers {"ok": true} or says why not; one component at least has it


@dataclass(frozen=True, slots=True)
class Window:
    """When changes may begin, in the host's local time: ``days`` of mon..sun (empty: all), ``begin``-``end`` HH:MM."""

    days: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """[rollout]: in which order hosts take it, and what stops it. Hosts decide by themselves from each other's reports.

    ``waves`` are shares of the hosts between 0 and 1, rising, the last one 1; a wave has at least one host. ``within``
    is a label: hosts that share its value are a site, and waves are counted within each site.
    """

    waves: tuple[float, ...] = (1.0,)
    within: str = ""
    soak_s: float = 0.0
    approve: tuple[int, ...] = ()  # waves (from 0) that wait for an operator's signed approval
    gates: Gates = Gates()
    windows: tuple[Window, ...] = ()
    defer_most_s: float = 0.0  # a component's export 'may_update' may put a change off for so long
    blind_after_s: float = 0.0  # a host that sees no reports goes on by itself after so long; 0: it waits
    all_hosts: bool = False  # a transaction: nobody switches before everybody has prepared
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # public keys by host, in hex: then only these take part, by signed reports


@dataclass(frozen=True, slots=True)
class Deployment:
    """A signed document of desired state."""

    name: str
    sequence: int
    digest: str  # of the document's bytes: reports and penalties name it
    components: tuple[WantedComponent, ...] = ()
    hosts: Audience = Audience()
    rollout: Rollout = Rollout()
    on_failure: OnFailure = OnFailure.ROLL_BACK
    priority: int = 0
    deadline_s: float = 0.0  # a component that is not there after so long counts as failed; 0: tried for ever
    firmware: Mapping[str, str] = field(default_factory=dict)  # device (bridge name) to firmware NAME@RANGE
    note: str = ""
