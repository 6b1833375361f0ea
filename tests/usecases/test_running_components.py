from __future__ import annotations

import pytest

from edgehost.domain.component_spec import ComponentSpec, Kind
from edgehost.domain.errors import NotFoundError, UnavailableError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.release_life import Release
from edgehost.usecases.running_components import RunningComponents, RunningRelease
from tests.usecases.deploy_scene import ScriptedPool


def started(version: str) -> tuple[RunningRelease, ScriptedPool]:
    pool = ScriptedPool(lambda _function, _payload: version.encode(), ())
    spec = ComponentSpec("orders", version, Kind.MODEL, model=ModelSpec("orders", "orders"))
    return RunningRelease(Release("orders", version, version, 0, 1, "test"), spec, pool), pool


async def test_a_call_that_meets_a_draining_release_goes_to_its_successor() -> None:
    components = RunningComponents()
    old, old_pool = started("1.0.0")
    new, _ = started("1.1.0")
    components.route("orders", old)

    async def drained_while_called(*_args: object, **_more: object) -> bytes:
        components.route("orders", new)
        await old_pool.drain(1)
        raise UnavailableError("The pool drains.")

    old_pool.call = drained_while_called  # type: ignore[method-assign]
    assert await components.call("orders", "any", b"") == b"1.1.0"


async def test_a_draining_release_without_successor_is_unavailable_and_not_tried_for_ever() -> None:
    components = RunningComponents()
    old, pool = started("1.0.0")
    components.route("orders", old)
    await pool.drain(1)
    with pytest.raises(UnavailableError):
        await components.call("orders", "any", b"")


async def test_a_call_that_waits_while_its_component_goes_out_of_service_may_be_repeated_later() -> None:
    components = RunningComponents()
    only, pool = started("1.0.0")
    components.route("orders", only)

    async def taken_down_while_called(*_args: object, **_more: object) -> bytes:
        components.route("orders", None)
        await pool.drain(1)
        raise UnavailableError("The pool was stopped.")

    pool.call = taken_down_while_called  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="out of service"):
        await components.call("orders", "any", b"")


async def test_an_unknown_component_is_named_with_a_suggestion() -> None:
    components = RunningComponents()
    components.route("orders", started("1.0.0")[0])
    with pytest.raises(NotFoundError, match="Did you mean 'orders'"):
        await components.call("order", "any", b"")


async def test_routing_hands_back_what_took_the_calls_before() -> None:
    components = RunningComponents()
    old, _ = started("1.0.0")
    assert components.route("orders", old) is None
    assert components.route("orders", None) is old
    assert components.all() == ()
