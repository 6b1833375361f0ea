"""Which port leads to which, read from the specifications alone; circles; and a picture for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.event_pattern import matches
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.port_spec import PortSpec

#: What every port that succeeds is told as, beside its own name.
SUCCEEDED = "edgehost.port.succeeded"


@dataclass(frozen=True, slots=True)
class PortNode:
    """A port in the graph."""

    model: str
    port: str
    spec: PortSpec

    @property
    def label(self) -> str:
        """``model.port``."""
        return f"{self.model}.{self.port}"


@dataclass(frozen=True, slots=True)
class PortEdge:
    """An event that one port produces and another consumes; ``source`` is empty for events from elsewhere."""

    source: str
    target: str
    event: str


def nodes_of(models: Iterable[ModelSpec]) -> tuple[PortNode, ...]:
    """Every enabled port that takes part in a workflow: one that consumes or produces, or undoes one that does."""
    found = []
    for model in models:
        ports = {name: port for name, port in model.ports.items() if port.enabled}
        taking = {name for name, port in ports.items() if port.consumes or port.produces}
        taking |= {ports[name].undo for name in taking if ports[name].undo in ports}
        found += [PortNode(model.name, name, ports[name]) for name in ports if name in taking]
    return tuple(found)


def edges_of(nodes: Iterable[PortNode]) -> tuple[PortEdge, ...]:
    """Every way from a port to a port; and from outside to ports that consume what no port produces."""
    nodes = tuple(nodes)
    edges = []
    for target in nodes:
        pattern = target.spec.consumes
        if not pattern:
            continue
        sources = [node for node in nodes if _leads(node, pattern)]
        edges += [PortEdge(node.label, target.label, node.spec.produces or SUCCEEDED) for node in sources]
        if not sources:
            edges.append(PortEdge("", target.label, pattern))
    return tuple(edges)


def _leads(node: PortNode, pattern: str) -> bool:
    return (bool(node.spec.produces) and matches(pattern, node.spec.produces)) or matches(pattern, SUCCEEDED)


def circle_in(models: Iterable[ModelSpec]) -> tuple[str, ...]:
    """The ports of a circle, the first one again at the end; empty when there is none."""
    nodes = nodes_of(models)
    onward: dict[str, list[str]] = {node.label: [] for node in nodes}
    for edge in edges_of(nodes):
        if edge.source:
            onward[edge.source].append(edge.target)
    finished: set[str] = set()
    for start in onward:
        path: list[str] = []
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            label, leaving = stack.pop()
            if leaving:
                finished.add(path.pop())
            elif label in path:
                return (*path[path.index(label) :], label)
            elif label not in finished:
                path.append(label)
                stack.append((label, True))
                stack += [(target, False) for target in onward[label]]
    return ()


def require_no_circle(models: Iterable[ModelSpec]) -> None:
    """Check that no port can lead back to itself.

    Raises:
        InvalidSpecificationError: one can; the message names the circle.
    """
    circle = circle_in(models)
    if circle:
        raise InvalidSpecificationError(
            f"These ports lead to each other in a circle: {' -> '.join(circle)}.",
            hint="Let one of them consume or produce another event.",
        )


def graph_document(models: Iterable[ModelSpec]) -> dict[str, Any]:
    """Nodes and edges, ready for JSON; the nodes as events reach them, those that only take back at the end."""
    nodes = _in_order(nodes_of(models))
    return {
        "nodes": [
            {
                "port": node.label,
                "model": node.model,
                "direction": str(node.spec.direction),
                "consumes": node.spec.consumes,
                "produces": node.spec.produces,
                "undo": node.spec.undo,
                "retries": node.spec.retries,
                "timeout_ms": node.spec.timeout_ms,
            }
            for node in nodes
        ],
        "edges": [{"from": edge.source, "to": edge.target, "event": edge.event} for edge in edges_of(nodes)],
    }


def _in_order(nodes: tuple[PortNode, ...]) -> tuple[PortNode, ...]:
    """Sources before targets; specifications hold their ports in the order of names."""
    before: dict[str, set[str]] = {node.label: set() for node in nodes}
    for edge in edges_of(nodes):
        if edge.source:
            before[edge.target].add(edge.source)
    ordered: dict[str, PortNode] = {}
    left = [node for node in nodes if node.spec.consumes or node.spec.produces]
    while left:
        # of what is reached, what follows the last one comes first; a circle, which is refused elsewhere, as it stands
        ready = [node for node in left if before[node.label] <= ordered.keys()] or left
        last = next(reversed(ordered), "")
        chosen = next((node for node in ready if last in before[node.label]), ready[0])
        ordered[chosen.label] = chosen
        left.remove(chosen)
    return (*ordered.values(), *(node for node in nodes if node.label not in ordered))


def mermaid(graph: Mapping[str, Any]) -> str:
    """The graph in Mermaid's language for flow charts."""
    names = {node["port"]: f"p{number}" for number, node in enumerate(graph["nodes"])}
    outside: dict[str, str] = {}
    lines = ["flowchart TD"]
    for model in dict.fromkeys(node["model"] for node in graph["nodes"]):
        lines.append(f"  subgraph {model}")
        for node in graph["nodes"]:
            if node["model"] == model:
                brackets = ("([", "])") if node["direction"] == "inbound" else ("[", "]")
                text = node["port"].partition(".")[2]
                lines.append(f'    {names[node["port"]]}{brackets[0]}"{text}"{brackets[1]}')
        lines.append("  end")
    for edge in graph["edges"]:
        if edge["from"]:
            lines.append(f'  {names[edge["from"]]} -->|"{edge["event"]}"| {names[edge["to"]]}')
        else:
            source = outside.setdefault(edge["event"], f"e{len(outside)}")
            lines.append(f'  {source}>"{edge["event"]}"] --> {names[edge["to"]]}')
    for node in graph["nodes"]:
        if node["undo"]:
            own = f"{node['model']}.{node['undo']}"
            if own in names:
                lines.append(f"  {names[node['port']]} -.->|undo| {names[own]}")
            else:
                lines.append(f'  {names[node["port"]]} -.->|undo| {names[node["port"]]}u(["{node["undo"]}"])')
    return "\n".join(lines)
