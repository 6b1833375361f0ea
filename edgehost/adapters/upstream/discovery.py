"""What Home Assistant is told of a node: MQTT device discovery, as its documentation has it. Pure: no broker here.

One message for each device: ``PREFIX/device/ID/config`` with ``device``, ``origin`` and ``components``. A component
that is gone stands there once more with its platform alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import read_json, tell_json
from edgehost.domain.upstream_node import HOST, RESTART, ROLL_BACK, FigureKind, UpstreamNode, Value, kind_of

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
_NUMBER, _FLAG, _TEXT = "number", "flag", "text"
_PLATFORMS: Final = frozenset({"sensor", "binary_sensor", "update", "button"})
#: Components of one device that are remembered: figures, versions, and as many that are gone.
_MOST_COMPONENTS: Final = 256
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")
_BUTTONS: Final[Mapping[str, Mapping[str, str]]] = {
    RESTART: {"name": "Restart", "device_class": "restart"},
    ROLL_BACK: {"name": "Bring the component before back", "icon": "mdi:undo"},
}

Components = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class HomeTopics:
    """Where a host's nodes are at the broker."""

    prefix: str
    root: str
    host: str

    @property
    def own(self) -> str:
        """A filter for all that is below the host."""
        return f"{self.root}/{self.host}/#"

    @property
    def mark(self) -> str:
        """What is published here comes back behind all that is retained."""
        return f"{self.root}/{self.host}/mark"

    @property
    def birth(self) -> str:
        """Home Assistant's own status."""
        return f"{self.prefix}/status"

    @property
    def presses(self) -> tuple[str, str]:
        """Filters of the buttons."""
        return f"{self.root}/{self.host}/host/press", f"{self.root}/{self.host}/device/+/press"

    def of(self, node: str, leaf: str) -> str:
        """A topic of a node."""
        return f"{self.root}/{self.host}/{f'device/{node}' if node else 'host'}/{leaf}"

    def node_in(self, topic: str) -> tuple[str, str] | None:
        """The node and the leaf of one of its topics."""
        below = topic.removeprefix(f"{self.root}/{self.host}/")
        match below.split("/"):
            case ["host", leaf] if below != topic:
                return HOST, leaf
            case ["device", name, leaf] if below != topic and name:
                return name, leaf
        return None

    def id_of(self, node: str) -> str:
        """The node's id in Home Assistant."""
        return f"edgehost_{self.host}_{node}" if node else f"edgehost_{self.host}"

    def config(self, node: str) -> str:
        """Where its discovery message is."""
        return f"{self.prefix}/device/{self.id_of(node)}/config"


@dataclass(slots=True)
class Discovery:
    """Makes the messages of all nodes; remembers what each figure is, for the moments in which it has no value."""

    topics: HomeTopics
    version: str  # of edgehost
    kinds: Mapping[str, FigureKind] = field(default_factory=dict)
    buttons: bool = False
    events: bool = False
    _types: dict[tuple[str, str], str] = field(default_factory=dict)

    def components(self, node: UpstreamNode) -> Components:
        """The entities of a node, by key."""
        found: Components = {"connectivity": self._connectivity(node)}
        for path, value in node.figures.items():
            what = self._type_of(node.name, path, value)
            if what:
                found.setdefault(f"{what}_{path.replace('.', '-')}", self._figure(node, path, what))
        for component in node.versions:
            found[f"version_{component}"] = self._version(node, component)
        if self.buttons:
            for button in (RESTART,) if node.name == HOST else (RESTART, ROLL_BACK):
                found[f"press_{button}"] = self._button(node, button)
        if self.events and node.name == HOST:
            found["event"] = self._event(node)
        return found

    def message(self, node: UpstreamNode, components: Mapping[str, Mapping[str, Any]]) -> bytes:
        """The discovery message."""
        device = {
            "identifiers": [self.topics.id_of(node.name)],
            "name": node.title,
            "manufacturer": "edgehost",
            "model": node.model,
            "sw_version": node.software,
            "serial_number": node.serial,
        }
        if node.name != HOST:
            device["via_device"] = self.topics.id_of(HOST)
        return tell_json(
            {
                "device": {key: value for key, value in device.items() if value},
                "origin": {"name": "edgehost", "sw_version": self.version},
                "components": components,
            }
        )

    def state(self, node: UpstreamNode) -> bytes:
        """The figures and versions of a node."""
        versions = {
            name: {"installed_version": each.installed, "latest_version": each.latest}
            for name, each in node.versions.items()
        }
        return tell_json({"figures": dict(node.figures), "versions": versions})

    def _type_of(self, node: str, path: str, value: Value) -> str:
        match value:
            case None:
                return self._types.get((node, path), "")
            case bool():
                what = _FLAG
            case str():
                what = _TEXT
            case _:
                what = _NUMBER
        self._types[node, path] = what
        return what

    def _entity(self, node: UpstreamNode, platform: str, key: str, **more: object) -> dict[str, Any]:
        entity = {
            "platform": platform,
            "unique_id": f"{self.topics.id_of(node.name)}_{_NOT_IN_IDS.sub('_', key)}",
            "availability": [
                {"topic": self.topics.of(name, "status")} for name in dict.fromkeys((HOST, node.name))
            ],
            "availability_mode": "all",
            **more,
        }
        return {name: value for name, value in entity.items() if value not in ("", [])}

    def _connectivity(self, node: UpstreamNode) -> dict[str, Any]:
        entity = self._entity(
            node,
            "binary_sensor",
            "connectivity",
            name="Connection",
            device_class="connectivity",
            entity_category="diagnostic",
            state_topic=self.topics.of(node.name, "status"),
            payload_on=ONLINE.decode(),
            payload_off=OFFLINE.decode(),
        )
        if node.name == HOST:  # it is what says so of all others
            del entity["availability"], entity["availability_mode"]
        else:
            entity["availability"] = [{"topic": self.topics.of(HOST, "status")}]
        return entity

    def _figure(self, node: UpstreamNode, path: str, what: str) -> dict[str, Any]:
        kind = kind_of(path, self.kinds)
        value = f"value_json.figures.get('{path}')"
        more: dict[str, object] = {
            "name": kind.name,
            "state_topic": self.topics.of(node.name, "state"),
            "device_class": kind.device_class,
            "entity_category": "diagnostic" if kind.diagnostic else "",
        }
        if what == _FLAG:
            choice = f"{{{{ None if {value} is none else ('ON' if {value} else 'OFF') }}}}"
            return self._entity(node, "binary_sensor", f"{what}_{path}", value_template=choice, **more)
        if what == _NUMBER:
            more["unit_of_measurement"] = kind.unit
            more["state_class"] = kind.state_class or "measurement"
        return self._entity(node, "sensor", f"{what}_{path}", value_template=f"{{{{ {value} }}}}", **more)

    def _version(self, node: UpstreamNode, component: str) -> dict[str, Any]:
        return self._entity(
            node,
            "update",
            f"version_{component}",
            name=component,
            title=component,
            entity_category="diagnostic",
            state_topic=self.topics.of(node.name, "state"),
            value_template=f"{{{{ value_json.versions.get('{component}', {{}}) | tojson }}}}",
        )

    def _button(self, node: UpstreamNode, button: str) -> dict[str, Any]:
        return self._entity(
            node,
            "button",
            f"press_{button}",
            command_topic=self.topics.of(node.name, "press"),
            payload_press=button,
            entity_category="config",
            **_BUTTONS[button],
        )

    def _event(self, node: UpstreamNode) -> dict[str, Any]:
        topic = self.topics.of(node.name, "event")
        return self._entity(
            node,
            "sensor",
            "event",
            name="Last event",
            state_topic=topic,
            value_template="{{ value_json.type }}",
            json_attributes_topic=topic,
        )


def known_components(message: bytes) -> Components:
    """What a discovery message at the broker has; {} for what is none of ours."""
    try:
        document = read_json(message)
    except RefusedError:
        return {}
    components = document.get("components") if isinstance(document, dict) else None
    if not isinstance(components, dict):
        return {}
    return dict(list(_sound(components))[:_MOST_COMPONENTS])


def _sound(components: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, entity in components.items():
        if (
            isinstance(entity, dict)
            and isinstance(entity.get("platform"), str)
            and entity["platform"] in _PLATFORMS
            and _ID.fullmatch(key)
        ):
            yield key, entity


def merged(current: Components, before: Components, *, told: bool) -> tuple[Components, Components]:
    """What is to be said once, and what stays: what went stands once with its platform alone.

    While not all figures have been told, those of before stay as they were: a host that starts would otherwise take
    entities away, and bring them back without their settings.
    """
    kept = {
        key: entity
        for key, entity in before.items()
        if key not in current and len(entity) > 1 and not told and _is_figure(key)
    }
    gone = {
        key: {"platform": entity["platform"]}
        for key, entity in before.items()
        if key not in current and key not in kept
    }
    stays = {**current, **kept}
    return {**stays, **gone}, stays


def _is_figure(key: str) -> bool:
    return key.partition("_")[0] in {_NUMBER, _FLAG, _TEXT, "version"}
