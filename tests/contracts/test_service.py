"""What every service promises, with the real thing behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edgehost.config_services import KINDS
from edgehost.domain.errors import RefusedError
from tests.adapters.services.service_scenes import OPENERS, opened

#: Those whose functions take an object; the timer's takes nothing, and what a device's take its component decides.
ASKED = tuple(kind for kind in OPENERS if kind not in {"timer", "device"})


def test_every_kind_keeps_the_contract() -> None:
    assert set(OPENERS) == set(KINDS)


@pytest.mark.parametrize("kind", OPENERS)
async def test_a_call_answers_what_json_can_hold(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as scene:
        answer = await scene.service.call(scene.function, scene.given, timeout_s=10)
        assert json.loads(json.dumps(answer)) == answer
        assert scene.service.health().state == "ok"


@pytest.mark.parametrize("kind", OPENERS)
async def test_every_function_and_event_has_a_sentence(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as scene:
        assert scene.function in scene.service.functions
        assert all(scene.service.functions.values())
        assert all(scene.service.events.values())


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("given", [None, [], 3, "text", {"what is this": 1}])
async def test_odd_input_is_refused(kind: str, given: Any, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as scene:
        for function in scene.service.functions:
            if function == "list" and isinstance(given, dict) and not given:
                continue
            with pytest.raises(RefusedError):
                await scene.service.call(function, given, timeout_s=5)


@pytest.mark.parametrize("kind", ASKED)
async def test_a_member_too_many_is_refused(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as scene:
        with pytest.raises(RefusedError):
            await scene.service.call(scene.function, scene.given | {"typo": 1}, timeout_s=5)


@pytest.mark.parametrize("kind", OPENERS)
async def test_a_call_that_is_given_up_leaves_no_task_behind(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as scene:
        before = asyncio.all_tasks()
        call = asyncio.create_task(scene.service.call(scene.function, scene.given, timeout_s=10))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})
        assert asyncio.all_tasks() <= before | {call}


@pytest.mark.parametrize("kind", OPENERS)
async def test_closing_ends_all_that_it_runs(kind: str, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with opened(kind, tmp_path) as scene:
        await scene.service.call(scene.function, scene.given, timeout_s=10)
    assert asyncio.all_tasks() <= before
