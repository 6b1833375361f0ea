"""What a shadow call may ask of the host: to read, and nothing that anybody could notice."""

from __future__ import annotations

import json

import pytest

from edgehost.domain.component_spec import HOST_FUNCTIONS, Grants
from edgehost.domain.errors import EdgehostError
from edgehost.domain.shadow_call import ShadowCallError
from edgehost.ports.sandbox import CallContext, CallTrail
from edgehost.usecases.create_record import create_record
from edgehost.usecases.host_functions import HostFunctions
from tests.api.scene import NOTES, Kept
from tests.usecases.test_records_for_guests import StillReadings

READING = {"readings", "get", "find", "now"}
GRANTS = Grants(functions=tuple(HOST_FUNCTIONS), models=("notes",), components=("notes",))


async def ask(kept: Kept, function: str, context: CallContext) -> None:
    spec = kept.serve(NOTES, access={"read": {"allow": ["*"]}, "create": {"allow": ["*"]}})
    functions = HostFunctions(kept.keeping, kept.models, StillReadings(), lambda _name: spec)
    request = {
        "get": {"model": "notes", "id": "a"},
        "find": {"model": "notes"},
        "save": {"model": "notes", "data": {}},
        "delete": {"model": "notes", "id": "a"},
        "notify": {"type": "happened"},
        "call": {"component": "notes", "function": "any"},
    }.get(function, {})
    await functions.granted(GRANTS)("asker", function, json.dumps(request).encode(), context)


@pytest.mark.parametrize("function", sorted({"save", "delete", "call", "notify", *READING}))
async def test_a_shadow_reads_and_is_refused_whatever_has_an_effect(function: str) -> None:
    kept = Kept()
    kept.serve(NOTES)
    await create_record(kept.keeping, kept.models.table.named("notes"), {}, record_id="a")
    trail = CallTrail()
    shadow = CallContext(("asker",), shadow=True, trail=trail)
    if function in READING:
        await ask(kept, function, shadow)
    else:
        with pytest.raises(ShadowCallError) as refused:
            await ask(kept, function, shadow)
        assert refused.value.code == "shadow"
    assert trail.acted == (function not in READING)
    assert await kept.store.count("notes") == 1


@pytest.mark.parametrize("function", ["save", "notify", "delete"])
async def test_a_call_that_is_no_shadow_is_only_noted_to_have_acted(function: str) -> None:
    kept = Kept()
    trail = CallTrail()
    try:
        await ask(kept, function, CallContext(("asker",), trail=trail))
    except ShadowCallError:
        pytest.fail("It is no shadow.")
    except EdgehostError:
        pass
    assert trail.acted
