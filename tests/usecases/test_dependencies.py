"""A component calls others by names of its own; which component is behind one is config, and the host has the last word."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.usecases.plan_sandbox import HostTerms, dependencies_of, plan_sandbox

SHOP: dict[str, Any] = {
    "name": "shop",
    "version": "1.0.0",
    "kind": "model",
    "model": {"dependencies": {"books": "ledger", "store": "warehouse"}},
    "grants": {"components": ["ledger", "warehouse"]},
}


def terms(**config: str) -> HostTerms:
    return HostTerms(memory_kib=1024, deadline_ms=1000, deny=["warehouse"], config=config)


def test_dependencies_are_config_of_the_guest_and_names_that_it_calls_by() -> None:
    spec = read_component_spec(SHOP)
    plan = plan_sandbox(spec, b"", terms())
    assert plan.config == {"dependency.books": "ledger", "dependency.store": "warehouse"}
    assert dependencies_of(spec, plan.config) == {"books": "ledger", "store": "warehouse"}
    assert plan.grants.components == ("ledger",)  # what is denied stays denied


def test_a_host_puts_another_component_in_place_and_grants_it() -> None:
    spec = read_component_spec(SHOP)
    plan = plan_sandbox(spec, b"", terms(**{"dependency.books": "ledger-two", "other": "x"}))
    assert dependencies_of(spec, plan.config)["books"] == "ledger-two"
    assert plan.grants.components == ("ledger", "ledger-two")


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"grants": {}}, "model.dependencies.books"),
        ({"config": {"dependency.books": "x"}}, "config.dependency.books"),
        ({"model": {"dependencies": {"Books": "ledger"}}}, "model.dependencies.Books"),
    ],
)
def test_a_dependency_that_could_not_be_called_is_refused(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpecificationError) as refusal:
        read_component_spec(SHOP | members)
    assert refusal.value.path == path
