"""Bring messages on topics to the inbound ports that name them, for as long as their models are live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, RefusedError
from edgehost.domain.events import Event, ReleaseMoved
from edgehost.domain.json_text import read_json
from edgehost.domain.port_spec import Direction
from edgehost.domain.topic_filter import filter_of, id_in, matches
from edgehost.ports.topic_source import TopicMessage, TopicSource
from edgehost.usecases.answer_port import answer_port
from edgehost.usecases.keyed_work import KeyedWork
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_rooms import PortRooms

log = logging.getLogger("edgehost.ports")

#: Messages that wait for their turn here; then the source keeps them, and drops its oldest.
_WAITING: Final = 64
#: What fails with every message is logged once a minute.
_REPEAT_LOG_S: Final = 60.0


async def serve_topics(rooms: PortRooms, sources: Sequence[TopicSource]) -> None:
    """Subscribe as models come and go, and answer what comes, until cancelled.

    Messages of one topic are answered in order, those of several side by side.
    """
    answering = _Answering(rooms)
    work: KeyedWork[str, TopicMessage] = KeyedWork(
        "topics", answering.answer, bus=rooms.keeping.bus, clock=rooms.keeping.clock, waiting=_WAITING
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_wanting(rooms, sources), name="edgehost.topics")
        tasks.create_task(work.run(), name="edgehost.topics.work")
        for number, source in enumerate(sources):
            tasks.create_task(_passing_on(source, work), name=f"edgehost.topics.source.{number}")


def topic_ports(rooms: PortRooms) -> Iterator[tuple[LiveModel, str, str]]:
    """Every live inbound port that names a topic: (model, port, topic)."""
    for model in rooms.models.table.by_name.values():
        for port, spec in model.spec.ports.items():
            if spec.direction is Direction.INBOUND and spec.topic and spec.enabled:
                yield model, port, spec.topic


async def _keep_wanting(rooms: PortRooms, sources: Sequence[TopicSource]) -> None:
    async with rooms.keeping.bus.subscription(_is_move) as moves:
        while True:
            filters = {filter_of(topic) for _, _, topic in topic_ports(rooms)}
            for source in sources:
                source.want(filters)
            await anext(moves)


def _is_move(event: Event) -> bool:
    return isinstance(event, ReleaseMoved)


async def _passing_on(source: TopicSource, work: KeyedWork[str, TopicMessage]) -> None:
    while True:
        await work.room()
        message = await source.next_message()
        work.put(message.topic, message)


class _Answering:
    """Answers one message by every port that it is for."""

    def __init__(self, rooms: PortRooms) -> None:
        self._rooms = rooms
        self._quiet_until: dict[tuple[str, str], float] = {}

    async def answer(self, topic: str, message: TopicMessage) -> None:
        """Never fails: what cannot be taken is logged."""
        for model, port, port_topic in list(topic_ports(self._rooms)):
            if not matches(filter_of(port_topic), topic):
                continue
            record_id = id_in(port_topic, topic) or None
            try:
                await answer_port(self._rooms, model, port, record_id, read_payload(message.payload))
            except EdgehostError as error:
                self._complain(model, port, topic, error)
            except Exception:  # one message must not end the answering of all
                log.exception("%s.%s failed at a message.", model.spec.name, port)

    def _complain(self, model: LiveModel, port: str, topic: str, error: EdgehostError) -> None:
        now, name = self._rooms.keeping.clock.monotonic(), (model.spec.name, port)
        if now >= self._quiet_until.get(name, 0.0):
            self._quiet_until[name] = now + _REPEAT_LOG_S
            log.warning("%s.%s did not take a message on %s: %s", *name, topic[:200], error)


def read_payload(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    """The message as JSON, else as text; bytes that are neither become replacement characters."""
    try:
        return read_json(payload) if payload else None
    except RefusedError:
        return payload.decode("utf-8", "replace")
