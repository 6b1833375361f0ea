"""What leads to what, and circles."""

from __future__ import annotations

import pytest

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.port_spec import Direction, PortSpec
from edgehost.domain.workflow_graph import circle_in, graph_document, mermaid, require_no_circle


def model(name: str, **ports: tuple[str, str]) -> ModelSpec:
    return ModelSpec(
        name,
        name,
        ports={
            port: PortSpec(Direction.OUTBOUND, consumes=consumes, produces=produces)
            for port, (consumes, produces) in ports.items()
        },
    )


CHAIN = model("order", pay=("edgehost.record.created", "order.paid"), ship=("order.paid", "order.shipped"))


def test_a_chain_is_no_circle() -> None:
    require_no_circle((CHAIN, model("stock", pick=("order.paid", "stock.picked"))))


@pytest.mark.parametrize(
    ("models", "circle"),
    [
        ((model("a", p=("x", "y"), q=("y", "x")),), {"a.p", "a.q"}),
        ((model("a", p=("x.*", "x.y")),), {"a.p"}),
        ((model("a", p=("**", "y")),), {"a.p"}),
        ((model("a", p=("edgehost.port.*", "y")),), {"a.p"}),
        (
            (model("a", p=("start", "y")), model("b", p=("y", "z")), model("c", p=("z", "start"))),
            {"a.p", "b.p", "c.p"},
        ),
    ],
)
def test_a_circle_is_named(models: tuple[ModelSpec, ...], circle: set[str]) -> None:
    found = circle_in(models)
    assert found[0] == found[-1]
    assert set(found) == circle
    with pytest.raises(InvalidSpecificationError, match=" -> "):
        require_no_circle(models)


def test_a_component_whose_ports_lead_in_a_circle_is_not_built() -> None:
    port = {"direction": "outbound", "consumes": "a.b", "produces": "a.b"}
    with pytest.raises(InvalidSpecificationError, match=r"circle: order\.pay -> order\.pay"):
        read_component_spec(
            {"name": "order", "version": "1.0.0", "kind": "model", "model": {"ports": {"pay": port}}}
        )


def test_a_component_cannot_produce_the_host_s_events() -> None:
    port = {"direction": "outbound", "produces": "edgehost.record.created"}
    with pytest.raises(InvalidSpecificationError, match="as the host's events do"):
        read_component_spec(
            {"name": "order", "version": "1.0.0", "kind": "model", "model": {"ports": {"pay": port}}}
        )


def test_the_graph_has_every_port_and_the_events_between_them() -> None:
    graph = graph_document((CHAIN,))
    assert [node["port"] for node in graph["nodes"]] == ["order.pay", "order.ship"]
    assert graph["edges"] == [
        {"from": "", "to": "order.pay", "event": "edgehost.record.created"},
        {"from": "order.pay", "to": "order.ship", "event": "order.paid"},
    ]
    picture = mermaid(graph)
    assert picture.startswith("flowchart TD\n")
    assert 'p0 -->|"order.paid"| p1' in picture
