"""The other hosts of a fleet, their reports and the operators' orders, as the broker retains them: a FleetView."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from edgehost.adapters.fleet.host_key import HostKey
from edgehost.adapters.fleet.rollout_orders import RolloutOrders
from edgehost.adapters.fleet.signed_reports import SignedReports
from edgehost.domain.errors import RefusedError, TooLargeError
from edgehost.domain.fleet_members import failures_in
from edgehost.domain.fleet_topics import FleetTopics
from edgehost.domain.json_text import read_json, tell_json
from edgehost.domain.names import NAME
from edgehost.domain.rollout_messages import read_report, report_document
from edgehost.domain.rollout_report import RolloutCommand, RolloutReport
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.fleet_link import FleetLink, Signatures

log = logging.getLogger("edgehost.fleet")

#: More than a site has; registrations beyond are not seen, and that is told.
MOST_HOSTS: Final = 5000
_MOST_DEPLOYMENTS: Final = 256
_MOST_SEEN: Final = 8 * MOST_HOSTS
_REGISTRATION_MOST_BYTES: Final = 16 * 1024
#: Lines in the log about what is not understood.
_MOST_TOLD: Final = 20
_STATUS_MOST_BYTES: Final = 4 * 1024
_REPORT: Final = "twin/deployment/"
_STATUS: Final = "status"


@dataclass(slots=True)
class MqttFleetView:
    """A FleetView. ``take`` gets what comes; ``run`` checks the orders."""

    topics: FleetTopics
    host: str
    own: Mapping[str, str]  # this host's labels, and ``class``
    link: FleetLink
    signatures: Signatures | None  # None: whoever the broker lets in may order
    newest_order: Callable[[str], float]  # what was issued before it is not obeyed again, over restarts
    note_order: Callable[[str, float], Awaitable[None]]
    settle_s: float = 30.0  # at a broker that had forgotten this host, for the others to come back
    unseen: int = 0  # hosts and reports beyond the bounds
    own_key: HostKey | None = None  # with which this host signs its reports, and looks at those of others
    _signed: SignedReports = field(init=False)
    _members: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _devices: dict[str, frozenset[str]] = field(default_factory=dict)  # by host, where it bridges some
    _reports: dict[str, dict[str, RolloutReport]] = field(default_factory=dict)
    _set_aside: dict[str, frozenset[str]] = field(default_factory=dict)
    _away: set[str] = field(default_factory=set)
    _shown: set[str] = field(default_factory=set)  # deployments on which this host has a report there
    _seen: set[tuple[str, str]] = field(
        default_factory=set
    )  # host and step below it, since the link is there
    _told: int = 0
    _is_current: bool = False
    _knew_others: bool = False  # before the link came up
    _waiting: asyncio.TimerHandle | None = None
    _watchers: list[asyncio.Event] = field(default_factory=list)
    orders: RolloutOrders = field(init=False)

    def __post_init__(self) -> None:
        self._signed = SignedReports(self.topics.fleet, self.host)
        self.orders = RolloutOrders(
            self.topics.host(self.host),
            self.link,
            self.signatures,
            self.newest_order,
            self.note_order,
            self.changed,
            tell=self._tell,
        )

    @property
    def filters(self) -> tuple[str, ...]:
        """What must be listened to."""
        return self.topics.registrations, self.topics.statuses, self.topics.reports, self.topics.orders

    @property
    def connected(self) -> bool:
        """Whether all that others show has come since the link is there."""
        return self.link.connected and self._is_current

    @property
    def key(self) -> str:
        """The public key, in hex, that this host's reports are signed with; "" when they are not."""
        return "" if self.own_key is None else self.own_key.public.hex()

    def trust(self, deployment: str, keys: Mapping[str, str]) -> None:
        """Take reports on a deployment from these hosts alone, signed with these keys; none: from everybody."""
        self._signed.trust(deployment, keys)

    def members(self) -> Mapping[str, Mapping[str, str]]:
        """Every registered host's labels by its id, with ``class`` for its device class; itself included."""
        return MappingProxyType({**self._members, self.host: self.own})

    def bridging(self, device: str) -> Collection[str]:
        """Ids of the other hosts that say that they bridge a device of this name."""
        return [host for host, devices in self._devices.items() if device in devices]

    def away(self) -> Collection[str]:
        """Ids of the hosts that are offline, as they or their broker say."""
        return frozenset(self._away)

    def set_aside(self) -> Mapping[str, Collection[str]]:
        """Hosts on which too much has failed, as they say; and what: NAME SEQUENCE."""
        return MappingProxyType(self._set_aside)

    def reports(self, deployment: str) -> Sequence[RolloutReport]:
        """The last report of each host, this one's included."""
        if self._signed.is_wanted(deployment):
            return self._signed.reports(deployment)
        return tuple(self._reports.get(deployment, {}).values())

    def command(self, deployment: str) -> RolloutCommand | None:
        """The operator's newest order whose signature holds."""
        return self.orders.newest(deployment)

    async def report(self, report: RolloutReport) -> None:
        """Show this host's state to the others; kept and sent later while the link is down."""
        self._reports.setdefault(report.deployment, {})[self.host] = report
        self._shown.add(report.deployment)
        topic = self.topics.host(self.host).report(report.deployment)
        document = report_document(report)
        if self.own_key is not None:
            document |= self._signed.own(report, self.own_key)
        self.link.keep(topic, tell_json(document))
        self.changed()

    def shown(self) -> Collection[str]:
        """The deployments that this host shows a report on, those of an earlier run included."""
        return frozenset(self._shown)

    def withdraw(self, deployment: str) -> None:
        """Show nothing of a deployment any more."""
        self._reports.get(deployment, {}).pop(self.host, None)
        self._shown.discard(deployment)
        self._signed.forget(deployment)
        self.link.keep(self.topics.host(self.host).report(deployment), None, again=True)

    async def changes(self) -> AsyncIterator[None]:
        """One item after any of it may have changed."""
        watcher = asyncio.Event()
        self._watchers.append(watcher)
        try:
            while True:
                await watcher.wait()
                watcher.clear()
                yield
        finally:
            self._watchers.remove(watcher)

    def link_moved(self) -> None:
        """The link came up or went: what is retained is still to come, or not to be known."""
        self._seen.clear()
        self._told = 0
        self._knew_others = any(host != self.host for host in self._members)
        self._is_current = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self.changed()

    def all_came(self, lost: bool) -> None:  # noqa: FBT001 - see FleetHandlers
        """All that the broker retains has come; ``lost``: it did not know this host, and may have lost the others too.

        A host that is new here, or knew nobody before, waits a while for those that come back as it did.
        """
        if not lost:
            self._forget_unseen()
        elif not self._knew_others:
            log.info("The broker did not know this host; others have %g s to come back to it.", self.settle_s)
            self._waiting = asyncio.get_running_loop().call_later(self.settle_s, self._became_current)
            return
        self._became_current()

    def changed(self) -> None:
        """Something did."""
        for watcher in self._watchers:
            watcher.set()

    def take(self, topic: str, payload: bytes) -> None:
        """A message on one of ``filters``; never waits."""
        deployment = self.topics.order_in(topic)
        if deployment is not None:
            self.orders.take(deployment, payload)
            return
        place = self.topics.host_in(topic)
        if place is None:
            return
        host, below = place
        try:
            if len(self._seen) < _MOST_SEEN:
                self._seen.add((host, below))
            if not below:
                self._take_registration(host, payload)
            elif below == _STATUS:
                self._take_status(host, payload)
            elif below.startswith(_REPORT):
                self._take_report(host, below.removeprefix(_REPORT), payload)
        except RefusedError as error:
            self._tell(f"What {host} shows of itself is not understood: {error.message}")
            return
        self.changed()

    async def run(self) -> None:
        """Check orders until cancelled."""
        await self.orders.run()

    def _tell(self, what: str) -> None:
        """Log it, since the link is there a bounded number of times: a broker may bring thousands of them."""
        self._told += 1
        if self._told <= _MOST_TOLD:
            log.warning("%s", what)
        elif self._told == _MOST_TOLD + 1:
            log.warning("More of what the broker shows is not understood; it is not told.")

    def _take_registration(self, host: str, payload: bytes) -> None:
        if host == self.host:
            return  # by its own word, whatever stands there
        if not payload:
            for known in (self._members, self._set_aside, self._devices):
                known.pop(host, None)
            return
        if host not in self._members and len(self._members) >= MOST_HOSTS:
            self.unseen += 1
            self._tell(
                f"There are more hosts than the {MOST_HOSTS} that are looked at: {host} is passed over."
            )
            return
        if len(payload) > _REGISTRATION_MOST_BYTES:
            raise TooLargeError("Its registration is too long.")
        document: Any = read_json(payload)
        if not isinstance(document, Mapping):
            raise RefusedError("Its registration is no object.")
        table = SpecReader(document, error=RefusedError)
        labels, devices = table.text_map("labels"), table.texts("devices", default=())
        self._members[host] = {**labels, "class": table.text("class", default="", pattern=NAME)}
        if devices:
            self._devices[host] = frozenset(devices)
        else:
            self._devices.pop(host, None)
        if table.document("set_aside"):
            self._set_aside[host] = frozenset(failures_in(document))
        else:
            self._set_aside.pop(host, None)

    def _take_status(self, host: str, payload: bytes) -> None:
        document: Any = read_json(payload) if 0 < len(payload) <= _STATUS_MOST_BYTES else None
        if isinstance(document, Mapping) and document.get("status") == "offline" and host != self.host:
            if len(self._away) < MOST_HOSTS:
                self._away.add(host)
        else:
            self._away.discard(host)

    def _take_report(self, host: str, deployment: str, payload: bytes) -> None:
        if not NAME.fullmatch(deployment):
            return
        if host == self.host:
            if payload and len(self._shown) < _MOST_DEPLOYMENTS:
                self._shown.add(deployment)
            return
        if not payload:
            self._reports.get(deployment, {}).pop(host, None)
            return
        if self.own_key is not None:
            self._signed.take(host, deployment, payload)
        if (deployment not in self._reports and len(self._reports) >= _MOST_DEPLOYMENTS) or (
            len(self._reports.get(deployment, {})) >= MOST_HOSTS
        ):
            self.unseen += 1
            self._tell(
                f"There are more reports than are looked at: that of {host} on {deployment} is passed over."
            )
            return
        report = read_report(payload, host=host, deployment=deployment)
        self._reports.setdefault(deployment, {})[host] = report

    def _became_current(self) -> None:
        self._is_current, self._waiting = True, None
        self.changed()

    def _forget_unseen(self) -> None:
        """What the broker does not retain any more was taken away while there was no link."""
        self._members = {host: labels for host, labels in self._members.items() if self._is_there(host, "")}
        self._devices = {host: names for host, names in self._devices.items() if host in self._members}
        self._set_aside = {host: what for host, what in self._set_aside.items() if host in self._members}
        self._away = {host for host in self._away if self._is_there(host, _STATUS)}
        for deployment, reports in self._reports.items():
            for host in [host for host in reports if not self._is_there(host, _REPORT + deployment)]:
                del reports[host]

    def _is_there(self, host: str, below: str) -> bool:
        return host == self.host or (host, below) in self._seen
