"""What every sandbox promises."""

from __future__ import annotations

import asyncio
import json

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_spec import Abi
from edgehost.domain.errors import (
    BusyError,
    DeadlineExceededError,
    GuestFailedError,
    GuestProtocolError,
    GuestTrapError,
    InvalidComponentError,
    NotFoundError,
    RefusedError,
    SandboxDiedError,
)
from edgehost.ports.sandbox import CallContext, Sandbox, SandboxFactoryOpener
from tests.adapters.sandbox.guests import ASKER, NUMBERS, PLUGIN, no_host, plan_of

OPENERS: list[SandboxFactoryOpener] = [open_sandbox_factory]


@pytest.fixture(params=OPENERS, ids=["wasm3"])
def opener(request: pytest.FixtureRequest) -> SandboxFactoryOpener:
    made: SandboxFactoryOpener = request.param
    return made


def silent(_component: str, _level: str, _message: str) -> None:
    pass


async def test_an_extism_export_turns_input_into_output(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        assert sandbox.alive
        assert sandbox.pid > 0
        for payload in (b"", b"x", bytes(range(256)) * 100):
            assert await sandbox.call("echo", payload, deadline_s=5) == payload


async def test_an_instance_keeps_its_state_between_calls_and_shares_it_with_no_other(
    opener: SandboxFactoryOpener,
) -> None:
    async with opener() as factory:
        one, other = [await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent) for _ in range(2)]
        for expected in (1, 2, 3):
            assert int.from_bytes(await one.call("count", b"", deadline_s=5), "little") == expected
        assert int.from_bytes(await other.call("count", b"", deadline_s=5), "little") == 1


async def test_exports_are_named(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(NUMBERS, abi=Abi.PLAIN), host_call=no_host, log=silent)
        assert set(await sandbox.exports()) == {"add", "i64", "f32", "f64", "divide", "swap", "nothing"}


async def test_plain_exports_take_and_give_numbers(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(NUMBERS, abi=Abi.PLAIN), host_call=no_host, log=silent)
        assert json.loads(await sandbox.call("add", b"[2, 3]", deadline_s=5)) == [5]
        assert json.loads(await sandbox.call("swap", b"[1, -9007199254740993]", deadline_s=5)) == [
            -9007199254740993,
            1,
        ]
        with pytest.raises(RefusedError, match="takes 2 arguments"):
            await sandbox.call("add", b"[2]", deadline_s=5)
        assert sandbox.alive


async def test_an_unknown_export_is_not_found_and_the_known_ones_are_listed(
    opener: SandboxFactoryOpener,
) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(NUMBERS, abi=Abi.PLAIN), host_call=no_host, log=silent)
        with pytest.raises(NotFoundError, match="divide"):
            await sandbox.call("subtract", b"[]", deadline_s=5)
        assert sandbox.alive


async def test_a_trap_is_an_ordinary_error(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        with pytest.raises(GuestTrapError, match="unreachable"):
            await sandbox.call("trap", b"", deadline_s=5)
        assert sandbox.alive


async def test_a_refusal_carries_the_guests_own_words(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        with pytest.raises(GuestFailedError, match="the tank is empty"):
            await sandbox.call("fail_with_input", b"the tank is empty", deadline_s=5)
        with pytest.raises(GuestFailedError, match="returned 7"):
            await sandbox.call("fail_in_silence", b"", deadline_s=5)
        assert await sandbox.call("echo", b"x", deadline_s=5) == b"x"


@pytest.mark.parametrize("name", ["takes_arguments", "returns_i64"])
async def test_an_export_of_another_shape_breaks_the_protocol(
    opener: SandboxFactoryOpener, name: str
) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        with pytest.raises(GuestProtocolError):
            await sandbox.call(name, b"", deadline_s=5)
        assert sandbox.alive


async def test_a_deadline_ends_the_sandbox(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        with pytest.raises(DeadlineExceededError):
            await sandbox.call("spin", b"", deadline_s=0.1)
        assert not sandbox.alive
        with pytest.raises(SandboxDiedError):
            await sandbox.call("echo", b"", deadline_s=1)


async def test_a_nested_call_cannot_outlive_its_caller(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError):
            await sandbox.call("spin", b"", deadline_s=30, context=CallContext(("caller",), began + 0.1))
        assert asyncio.get_running_loop().time() - began < 5


async def test_a_granted_function_gets_the_request_and_the_guest_the_reply(
    opener: SandboxFactoryOpener,
) -> None:
    seen: list[object] = []
    async with opener() as factory:
        plan = plan_of(ASKER, grants={"functions": ("find",)})

        async def host_call(component: str, function: str, payload: bytes, context: CallContext) -> bytes:
            seen.append((component, function, payload, context.chain))
            return b'{"ok":[]}'

        sandbox = await factory.start(plan, host_call=host_call, log=silent)
        context = CallContext(("outer",))
        assert await sandbox.call("ask", b'{"q":1}', deadline_s=5, context=context) == b'{"ok":[]}'
    assert seen == [("guest", "find", b'{"q":1}', ("outer", "guest"))]


async def test_a_failed_host_call_is_data_to_the_guest(opener: SandboxFactoryOpener) -> None:
    async def host_call(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
        raise BusyError("All busy.", hint="Later.")

    async with opener() as factory:
        plan = plan_of(ASKER, grants={"functions": ("find",)})
        sandbox = await factory.start(plan, host_call=host_call, log=silent)
        reply = json.loads(await sandbox.call("ask", b"?", deadline_s=5))
        assert reply == {"error": {"code": "busy", "message": "All busy. Later."}}
        assert sandbox.alive


async def test_a_host_call_ends_with_the_call_that_made_it(opener: SandboxFactoryOpener) -> None:
    ended = asyncio.Event()

    async def host_call(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with opener() as factory:
        plan = plan_of(ASKER, grants={"functions": ("find",)})
        sandbox = await factory.start(plan, host_call=host_call, log=silent)
        with pytest.raises(DeadlineExceededError):
            await sandbox.call("ask", b"?", deadline_s=0.1)
        assert ended.is_set()
        assert not sandbox.alive


async def test_an_import_that_was_not_granted_refuses_the_module(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        with pytest.raises(InvalidComponentError, match=r"find.*Granted: get, now"):
            await factory.start(
                plan_of(ASKER, grants={"functions": ("now", "get")}), host_call=no_host, log=silent
            )


async def test_one_call_at_a_time(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
        async with asyncio.TaskGroup() as group:
            spinning = group.create_task(_spin(sandbox))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one call"):
                await sandbox.call("echo", b"", deadline_s=1)
            await spinning


async def _spin(sandbox: Sandbox) -> None:
    with pytest.raises(DeadlineExceededError):
        await sandbox.call("spin", b"", deadline_s=0.1)


async def test_closing_a_factory_ends_its_sandboxes(opener: SandboxFactoryOpener) -> None:
    async with opener() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=silent)
    assert not sandbox.alive
