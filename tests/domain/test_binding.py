"""What leads where, and who says so."""

from __future__ import annotations

import pytest

from edgehost.domain.binding import DIRECT, Binding, BindingTable, Origin, read_port_name, require_binding
from edgehost.domain.errors import RefusedError
from edgehost.domain.port_spec import Direction, PortSpec

SPEC = PortSpec(Direction.OUTBOUND, adapter="declared-adapter", service="declared-service")
BARE = PortSpec(Direction.OUTBOUND)
PORT = ("drone.fly", SPEC)


def test_the_operator_comes_before_the_configuration_and_that_before_the_specification() -> None:
    config = {"drone.fly": "from-config"}
    operator = {"drone.fly": "from-operator"}

    def adapter(table: BindingTable) -> Binding:
        return table.adapter_of("drone", "fly", SPEC, has_own=True)

    assert adapter(BindingTable(operator, config)) == Binding("from-operator", Origin.OPERATOR)
    assert adapter(BindingTable({}, config)) == Binding("from-config", Origin.CONFIG)
    assert adapter(BindingTable()) == Binding("declared-adapter", Origin.DECLARED)


def test_a_port_that_names_no_adapter_uses_the_one_of_its_name_or_none() -> None:
    table = BindingTable()
    assert table.adapter_of("drone", "fly", BARE, has_own=True) == Binding("fly", Origin.ASSUMED)
    assert table.adapter_of("drone", "fly", BARE, has_own=False) == Binding(DIRECT, Origin.ASSUMED)


def test_a_service_is_the_ports_own_then_the_adapters() -> None:
    own = BindingTable({"drone.fly": "adapter:special", "adapter": "usual"})
    assert own.service_of("adapter", "", port=PORT).target == "special"
    assert own.service_of("adapter", "", port=("drone.land", BARE)).target == "usual"
    assert own.service_of("another", "its-own", port=PORT).target == "declared-service"
    assert own.service_of("another", "its-own", port=("drone.land", BARE)) == Binding(
        "its-own", Origin.DECLARED
    )
    assert own.service_of("another", "").target == ""


def test_a_binding_of_one_port_says_nothing_about_another_adapter() -> None:
    table = BindingTable({"drone.fly": "adapter:special"})
    assert table.service_of("other", "usual", port=("drone.fly", BARE)).target == "usual"


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ("drone.fly", "adapter"),
        ("drone.fly", "direct:weather"),
        ("adapter", "service"),
    ],
)
def test_bindings_of_the_right_form_are_taken(what: str, target: str) -> None:
    require_binding(what, target)


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ("drone.fly", "Adapter"),
        ("drone.fly", "a:b:c"),
        ("drone.fly", ""),
        ("drone.fly.on", "adapter"),
        ("adapter", "service:more"),
        ("direct", "service"),
        ("", "x"),
        ("x" * 100, "y"),
    ],
)
def test_bindings_of_another_form_are_refused(what: str, target: str) -> None:
    with pytest.raises(RefusedError):
        require_binding(what, target)


def test_a_name_with_a_dot_is_a_port() -> None:
    assert read_port_name("drone.fly") == ("drone", "fly")
    assert read_port_name("adapter") is None
