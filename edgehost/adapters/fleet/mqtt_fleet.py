"""A host in its fleet, over MQTT: a FleetLink that keeps its word over every loss of the broker.

At each connection the broker shows what it retains of this host, up to this host's own claim, which comes back last.
Only what is lost or has changed is then published. While a namesake is there that has run for longer, this host is silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

import aiomqtt
from aiomqtt import ProtocolVersion

from edgehost.adapters.fleet.added_filters import AddedFilters
from edgehost.adapters.fleet.first_error import first_of
from edgehost.adapters.fleet.fleet_handlers import FleetHandlers
from edgehost.adapters.fleet.fleet_wire import FleetWire
from edgehost.adapters.fleet.namesakes import CLAIM_S, Namesakes, ended_in, may_be_elder, read_claim
from edgehost.adapters.fleet.retained_topics import RetainedTopics
from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_topics import HostTopics
from edgehost.domain.topic_filter import matches
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks, require_wanted

log = logging.getLogger("edgehost.fleet")

#: An elder namesake has answered within this time; waited for only where the broker says that one may be there.
_ELDER_S: Final = 1.0
#: The broker has echoed our claim within this time after the last that it retains, or it echoes nothing.
_SETTLE_S: Final = 5.0
#: It shows what it retains for so long at most: a hundred thousand messages at a slow machine.
_SETTLE_MOST_S: Final = 300.0
#: Who writes over our topics is answered this often, so that two who disagree do not fill the line.
_REASSERT_S: Final = 0.2
_GOODBYE_S: Final = 1.0


@dataclass(slots=True)
class MqttFleet:
    """One host at one broker. ``online`` and ``offline`` are the payloads of its status, for each moment."""

    topics: HostTopics
    options: MqttOptions
    boot: str
    where: str
    up_s: Callable[[], float]
    now: Callable[[], float]  # monotonic
    online: Callable[[], bytes]
    offline: Callable[[str], bytes]
    handlers: FleetHandlers = field(default_factory=FleetHandlers)
    claim_s: float = CLAIM_S
    written: int = 0  # retained messages, since the start
    shown: int = 0  # retained messages below the host's own name, of this connection
    _added: AddedFilters = field(default_factory=AddedFilters)
    _retained: RetainedTopics = field(default_factory=RetainedTopics)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _is_settled: asyncio.Event = field(default_factory=asyncio.Event)
    _knows_others: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: bool = False  # what the broker retained, this time
    _tidy: bool = False
    _ask: bool = False
    _link: Link | None = None
    _reassert: bool = False
    _namesakes: Namesakes = field(init=False)
    _keeper: ConnectionKeeper = field(init=False)
    _wire: FleetWire = field(init=False)

    def __post_init__(self) -> None:
        self._namesakes = Namesakes(self.boot, self.where, self.claim_s)
        self._wire = FleetWire(lambda: self._keeper.protocol, self.topics.claim)
        will = replace(self.options, will_topic=self.topics.status, will_payload=self.offline("lost"))
        self._keeper = ConnectionKeeper(will, self._serve, lambda: self.handlers.link())  # noqa: PLW0108 - set later

    async def run(self) -> None:
        """Keep a connection until cancelled, and say goodbye then."""
        await self._keeper.run()

    @property
    def connected(self) -> bool:
        """Whether there is a link, and this host the one that speaks for its name."""
        return self._link is not None and self._is_settled.is_set() and not self._namesakes.yields

    @property
    def trouble(self) -> str:
        """Why there is no connection."""
        return self._keeper.trouble

    @property
    def namesakes(self) -> Namesakes:
        """Who else answers to the name."""
        return self._namesakes

    @property
    def refused_filters(self) -> Collection[str]:
        """What the broker does not let this host hear."""
        return self._wire.refused_filters

    @property
    def protocol(self) -> str:
        """The version of MQTT that is spoken."""
        return "5" if self._keeper.protocol is ProtocolVersion.V5 else "3.1.1"

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        """Have this retained from now on; None takes it away."""
        self._retained.keep(topic, payload, again=again)
        self._reassert = self._reassert or again
        self._work.set()

    def put(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        """Have this retained once."""
        self._queue(topic, payload, retain=True, expires_s=expires_s)

    def tell(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        """Say it to those who listen now."""
        if self.connected:
            self._queue(topic, payload, retain=False, expires_s=expires_s)

    def say(self, topic: str, payload: bytes) -> None:
        """Say it even while a namesake speaks for the name."""
        self._queue(topic, payload, retain=False)

    def ask_again(self) -> None:
        """Have the broker show the commands that it retains once more."""
        self._ask = True
        self._work.set()

    def tidy(self) -> None:
        """All that is wanted is kept by now: what else the broker retains of this host is taken away."""
        self._tidy = True
        self._take_away_strangers()

    def listen(self, filters: tuple[str, ...]) -> None:
        """Bring what comes on these filters to ``handlers.other`` too."""
        self._added.add(filters)
        self._work.set()

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        self._retained.connected()
        self._wire.connected()
        self._added.connected()
        self._is_settled.clear()
        self.shown = 0
        subscribed: set[str] = set()
        try:
            async with owned_tasks() as spawn:
                spawn(self._read(link), "edgehost.fleet.read")
                await self._wire.subscribe(link, (self.topics.claim,), subscribed, echo=True)
                # Whatever else is there, what is asked for first has come and is known.
                first = (self.topics.registration, self.topics.status, self.topics.commands)
                await self._wire.subscribe(link, (*first, *self.topics.own), subscribed)
                if self.handlers.bundle is not None:
                    await self._wire.subscribe(link, (self.topics.bundles,), subscribed)
                await self._claim(link)
                await self._settle(link)
                self._link = link
                online()
                spawn(self._keep_claiming(link), "edgehost.fleet.claim")
                await self._write(link, subscribed)
        except ExceptionGroup as group:  # the reader and the writer fail of the same
            raise first_of(group) from None
        finally:
            self._link = None
            await self._say_goodbye(link)

    async def _settle(self, link: Link) -> None:
        """Wait until the broker has shown what it retains, then decide what is lost."""
        try:
            async with asyncio.timeout(_SETTLE_MOST_S):
                while not await self._is_settled_soon():
                    await self._claim(link)  # a broker leaves out what its queue cannot hold
        except TimeoutError:
            raise aiomqtt.MqttError("the broker does not come to the end of what it retains") from None
        status = self._retained.known.get(self.topics.status)
        if not self._namesakes.others and may_be_elder(status, self.boot):
            try:
                async with asyncio.timeout(_ELDER_S):
                    await self._knows_others.wait()
            except TimeoutError:
                pass  # it was this host before its restart
        seen = frozenset(self._retained.known)
        self._lost = self.topics.registration not in seen
        self._begin_speaking(seen, lost=self._lost)

    async def _is_settled_soon(self) -> bool:
        """False when there is more than could be shown so far.

        Raises:
            MqttError: nothing more comes.
        """
        shown = self.shown
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._is_settled.wait()
        except TimeoutError:
            if self.shown == shown:
                raise aiomqtt.MqttError("the broker does not bring back what is published") from None
            return False
        return True

    def _begin_speaking(self, seen: frozenset[str], *, lost: bool) -> None:
        if self._namesakes.yields:
            return
        self.keep(self.topics.status, self.online())
        self.handlers.settled(seen, lost)
        self._retained.compare()
        if self._tidy:
            self._take_away_strangers()
        self._work.set()

    async def _read(self, link: Link) -> None:
        def take(topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - see Link.bring
            self.shown += retained and topic.startswith(f"{self.topics.registration}/")
            try:
                self._take(topic, payload)
            except Exception:  # whatever a broker brings must not end the host
                log.exception("A message of the fleet could not be dealt with.")

        await link.bring(take)

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == self.topics.claim:
            self._hear_claim(payload)
            return
        if self._wire.is_echo(topic, payload):
            return
        if any(matches(each, topic) for each in self._added.filters):
            self.handlers.other(topic, payload)
        bundle_id = self.topics.bundle_in(topic)
        if bundle_id is not None:
            if self.handlers.bundle is not None and payload and not self._namesakes.yields:
                self.handlers.bundle(bundle_id, payload)
        elif self.topics.command_in(topic) is not None:
            self._retained.saw(topic, payload)
            if not self._namesakes.yields:
                self.handlers.command(topic, payload)
        elif self.topics.is_own(topic) or topic in self._retained.kept:
            self._take_own(topic, payload)

    def _take_own(self, topic: str, payload: bytes) -> None:
        """What the broker has of ours; once connected, somebody else's word, or our will that came late."""
        self._retained.saw(topic, payload)
        if topic == self.topics.status and (ended := ended_in(payload)) in self._namesakes.others:
            self._forget_others(ended)
        if self._link is None or self._namesakes.yields or not self._retained.differs(topic):
            return
        if topic in self._retained.kept:
            self.keep(topic, self._retained.kept[topic], again=True)
        elif self._tidy:
            self._retained.take_away(topic)
            self._work.set()

    def _hear_claim(self, payload: bytes) -> None:
        try:
            claim = read_claim(payload)
        except RefusedError:
            return
        if claim.boot == self.boot:
            self._is_settled.set()
            if claim.to == self.boot:
                self._hear_mark()
            return
        before = (self._namesakes.shown, self._namesakes.yields)
        if self._namesakes.hear(claim, up_s=self.up_s(), now=self.now()):
            self._queue(self.topics.claim, self._namesakes.claim(self.up_s(), to=claim.boot), retain=False)
        self._knows_others.set()
        if before != (self._namesakes.shown, self._namesakes.yields):
            self.handlers.namesake(self._namesakes.shown, self._namesakes.yields)

    def _hear_mark(self) -> None:
        if self._added.hear_mark(self._wire.refused_filters):
            self.handlers.current(self._lost)

    async def _keep_claiming(self, link: Link) -> None:
        while True:
            await asyncio.sleep(self.claim_s)
            if not self._namesakes.others:
                continue
            self._forget_others()
            await self._claim(link)

    def _forget_others(self, ended: str = "") -> None:
        """Those that have been silent for too long, and the one that has ended by its own word or its will."""
        yielded = self._namesakes.yields
        self._namesakes.others.pop(ended, None)
        self._namesakes.forget_silent(self.now())
        if not self._namesakes.others:
            self._knows_others.clear()
            self.handlers.namesake("", False)  # noqa: FBT003 - nobody is there
        if yielded and not self._namesakes.yields:
            self._begin_speaking(frozenset(self._retained.known), lost=False)

    async def _claim(self, link: Link, *, to: str = "") -> None:
        await link.client.publish(self.topics.claim, self._namesakes.claim(self.up_s(), to=to), qos=1)
        require_wanted()

    async def _write(self, link: Link, subscribed: set[str]) -> None:
        """Publish what is due, until the connection ends."""
        while True:
            self._work.clear()
            if self._ask:
                self._ask = False
                subscribed.discard(self.topics.commands)
                await self._wire.subscribe(link, (self.topics.commands,), subscribed)
            if self._added.is_due(subscribed):
                await self._wire.subscribe(link, tuple(self._added.filters), subscribed)
                self._added.marked()
                await self._claim(link, to=self.boot)
            await self._wire.tell(link)
            if not self._namesakes.yields:
                for topic, payload in self._retained.due():
                    await self._wire.publish(link, topic, payload, retain=True)
                    self._retained.published(topic, payload)
                    self.written += 1
            if self._reassert:
                self._reassert = False
                await asyncio.sleep(_REASSERT_S)
            await self._work.wait()

    async def _say_goodbye(self, link: Link) -> None:
        """The will is for those who cannot; only when this host ends in order."""
        task = asyncio.current_task()
        if task is None or not task.cancelling() or self._namesakes.yields or link.gone.done():
            return
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await link.client.publish(self.topics.status, self.offline("stopped"), qos=1, retain=True)
        except (TimeoutError, aiomqtt.MqttError):
            return

    def _queue(self, topic: str, payload: bytes, *, retain: bool, expires_s: float = 0.0) -> None:
        self._wire.queue(topic, payload, retain=retain, expires_s=expires_s)
        self._work.set()

    def _take_away_strangers(self) -> None:
        for topic in self._retained.known:
            if topic not in self._retained.kept and self.topics.is_own(topic):
                self._retained.take_away(topic)
        self._work.set()
