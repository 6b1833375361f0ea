"""What would bring a component where a deployment wants it: steps with their reasons, from facts alone.

A plan is made anew at every look and never kept: what was done is seen in the facts, so a look after a crash, or a
second look, plans what is left and nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import semver

from edgehost.domain.deployment import WantedComponent
from edgehost.domain.deployment_life import Before
from edgehost.domain.version_range import VersionRange


@dataclass(frozen=True, slots=True)
class Choice:
    """A release that this host may run: on its shelf, or offered by a remote."""

    version: str
    digest: str
    sequence: int
    here: bool  # its file is on the shelf

    @property
    def rank(self) -> tuple[semver.Version, int]:
        """The higher version, then the later publication."""
        return semver.Version.parse(self.version), self.sequence


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """How it is with one component now."""

    live: Choice | None = None
    down: str = ""  # why the live release does not run; "" when it does
    pinned: bool = False
    candidates: Mapping[str, float] = field(default_factory=dict)  # digest: share of what runs beside it
    choices: tuple[Choice, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)  # version: why it is no choice
    config: Mapping[str, str] = field(default_factory=dict)  # overrides of the live release, or of the next
    bindings: Mapping[str, str] = field(default_factory=dict)  # what operators and deployments bound
    loose: frozenset[str] = frozenset()  # those of them whose target is not here any more


class Action(enum.StrEnum):
    """What a step does."""

    FETCH = "fetch"
    DEPLOY = "deploy"
    TRY = "try"  # beside the live release, with a share of the calls
    END_TRIAL = "end-trial"
    CONFIGURE = "configure"
    BIND = "bind"
    STOP = "stop"
    FLASH = "flash"  # the firmware of a device


@dataclass(frozen=True, slots=True)
class Step:
    """One change, and why."""

    action: Action
    what: str
    reason: str


class Standing(enum.StrEnum):
    """How it is with one component of a deployment."""

    REACHED = "reached"
    CHANGING = "changing"  # there are steps
    BLOCKED = "blocked"  # nothing can be done now; the reason says what it waits for
    FAILED = "failed"
    TAKEN = "taken"  # it belongs to another deployment


@dataclass(frozen=True, slots=True)
class ComponentPlan:
    """What is left to do for one component."""

    component: str
    standing: Standing
    reason: str = ""
    steps: tuple[Step, ...] = ()
    target: Choice | None = None  # what should be live, or tried
    share: float = 0.0
    config: Mapping[str, str] = field(default_factory=dict)  # the target's overrides
    bindings: Mapping[str, str] = field(default_factory=dict)  # that must change; "": taken back
    stop: tuple[str, ...] = ()  # digests of trials that end; of a device: of an image that failed there
    deployment: str = ""  # of a device: digest of the deployment that wants it

    def does(self, action: Action) -> bool:
        """Whether a step does this."""
        return any(step.action is action for step in self.steps)


def plan_component(wanted: WantedComponent, facts: ComponentFacts, deployment: str) -> ComponentPlan:
    """What brings the component where it is wanted; ``deployment`` is named in the reasons."""
    if not wanted.present:
        if facts.live is None:
            return ComponentPlan(wanted.name, Standing.REACHED, "It does not run here, as is wanted.")
        step = Step(Action.STOP, facts.live.version, f"{deployment} wants it absent.")
        return ComponentPlan(wanted.name, Standing.CHANGING, step.reason, (step,))
    live = facts.live
    if facts.pinned and live is not None and not wanted.versions.allows(live.version):
        reason = f"An operator chose {live.version}; {deployment} wants {wanted.versions.text}."
        return ComponentPlan(wanted.name, Standing.BLOCKED, reason)
    target = live if facts.pinned and live is not None else best_choice(wanted.versions, facts)
    if target is None:
        return _nothing_fits(wanted, facts)
    config = wanted.config.applied_to(facts.config)
    reason = f"{deployment} wants {wanted.versions.text}"
    reason += f"; {live.version} is live." if live is not None else "; nothing of it is live."
    share = wanted.share if live is not None and live.digest != target.digest else 0.0
    steps = _version_steps(facts, target, share, reason)
    if not steps and not share and config != dict(facts.config):
        steps.append(Step(Action.CONFIGURE, _keys(facts.config, config), f"{deployment} wants other values."))
    bindings = {
        what: to
        for what, to in wanted.bindings.items()
        if facts.bindings.get(what) != to or what in facts.loose
    }
    steps += [
        Step(Action.BIND, f"{what} to {to}", f"{deployment} binds it.") for what, to in bindings.items()
    ]
    plan = ComponentPlan(
        wanted.name,
        Standing.REACHED,
        steps=tuple(steps),
        target=target,
        share=share,
        config=config,
        bindings=bindings,
    )
    return _settled(plan, facts)


def plan_restore(component: str, before: Before, facts: ComponentFacts, reason: str) -> ComponentPlan:
    """What brings the component back to what it was."""
    steps = []
    stop = tuple(digest for digest in facts.candidates if digest not in before.candidates)
    live = facts.live
    if not before.digest:
        if live is not None:
            steps.append(Step(Action.STOP, live.version, reason))
        return _settled(ComponentPlan(component, Standing.REACHED, steps=tuple(steps)), facts)
    target = next(
        (each for each in (*((live,) if live else ()), *facts.choices) if each.digest == before.digest),
        None,
    )
    if target is None:
        why = facts.refused.get(before.version, "neither the shelf nor a remote has it.")
        return ComponentPlan(component, Standing.FAILED, f"It cannot go back to {before.version}: {why}")
    steps += _version_steps(facts, target, 0.0, reason)
    if not steps:  # else they end with the release that they run beside
        steps += [Step(Action.END_TRIAL, digest[:12], reason) for digest in stop]
        if dict(before.config) != dict(facts.config):
            steps.append(Step(Action.CONFIGURE, _keys(facts.config, before.config), reason))
    bindings = {what: to for what, to in before.bindings.items() if facts.bindings.get(what, "") != to}
    steps += [Step(Action.BIND, f"{what} to {to or 'what it was'}", reason) for what, to in bindings.items()]
    plan = ComponentPlan(
        component,
        Standing.REACHED,
        steps=tuple(steps),
        target=target,
        config=dict(before.config),
        bindings=bindings,
        stop=stop,
    )
    return _settled(plan, facts)


def best_choice(versions: VersionRange, facts: ComponentFacts) -> Choice | None:
    """The best release within the range; the live one unless another is better."""
    live = (facts.live,) if facts.live is not None else ()
    fitting = [each for each in (*facts.choices, *live) if versions.allows(each.version)]
    return max(fitting, key=lambda each: each.rank, default=None)


def _settled(plan: ComponentPlan, facts: ComponentFacts) -> ComponentPlan:
    """The plan with its standing, which follows from its steps."""
    if plan.steps:
        return replace(plan, standing=Standing.CHANGING, reason=plan.steps[0].reason)
    if facts.down:
        return replace(plan, standing=Standing.BLOCKED, reason=f"It is live but does not run: {facts.down}")
    return plan


def _version_steps(facts: ComponentFacts, target: Choice, share: float, reason: str) -> list[Step]:
    if facts.live is not None and facts.live.digest == target.digest:
        return []
    if share and facts.candidates.get(target.digest) == share:
        return []
    steps = [] if target.here else [Step(Action.FETCH, target.version, reason)]
    if share:
        return [*steps, Step(Action.TRY, f"{target.version} with {share:g} of the calls", reason)]
    return [*steps, Step(Action.DEPLOY, target.version, reason)]


def _nothing_fits(wanted: WantedComponent, facts: ComponentFacts) -> ComponentPlan:
    """What cannot run here fails, so that nobody waits for it; what is not there may still come."""
    refused = {v: why for v, why in facts.refused.items() if wanted.versions.allows(v)}
    if refused:
        version = max(refused, key=semver.Version.parse)
        reason = f"Nothing that fits {wanted.versions.text} can run here: {version}: {refused[version]}"
        return ComponentPlan(wanted.name, Standing.FAILED, reason)
    reason = f"No remote offers a component '{wanted.name}', and the shelf has none."
    known = sorted({each.version for each in facts.choices}, key=semver.Version.parse)
    if facts.live is not None and facts.live.version not in known:
        known.append(facts.live.version)
    if known:
        reason = f"Nothing that is offered fits {wanted.versions.text}; there is {', '.join(known[-5:])}."
    return ComponentPlan(wanted.name, Standing.BLOCKED, reason)


def _keys(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What differs, without the values: they may be secret."""
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return ", ".join(changed)
