"""What the example components are asked, and how they are run: in our sandbox and in Extism's own host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import extism

from edgehost.domain.component_file import read_component
from edgehost.domain.errors import GuestError
from edgehost.ports.sandbox import CallContext, SandboxFactory, SandboxPlan

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = (
    "telemetry",
    "telemetry-1.1.0",
    "telemetry-1.2.0",
    "sensors",
    "greeter",
    "geofence",
    "delivery",
    "courier",
    "depot",
    "booking",
)

READINGS = {
    "load_1m": 0.25,
    "memory_used_bytes": 3_000_000_000,
    "memory_total_bytes": 4_000_000_000,
    "temperature_c": None,
    "disk_used_bytes": 1,
    "disk_total_bytes": 3,
    "net_rx_bytes": 9_007_199_254_740_993,  # not every language's number holds it
    "net_tx_bytes": 0,
    "uptime_s": 7300.75,
}
PARCEL = {"address": "Lighthouse 7", "items": ["tea"]}
DELIVERY = {"id": "d1", "data": PARCEL | {"drill": {"refuse": "fly-drone"}}}
ORDER = {"what": "fly-drone", "token": "delivery/d1/4/fly-drone", "delivery": "d1"}
POSITION = {"drone": 'a"\\\n\u00e9\U0001f600', "latitude": 52.52, "longitude": 13.405}


@dataclass(frozen=True)
class Scene:
    """Calls to one fresh instance, and what the host answers it."""

    calls: tuple[tuple[str, Any], ...]
    replies: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)


def checked(data: Any, record_id: str = "r1", **more: Any) -> tuple[str, Any]:
    return "validate", {"event": "create", "id": record_id, "data": data} | more


_TELEMETRY = Scene(
    calls=(
        checked(READINGS),
        checked(READINGS | {"memory_used_percent": 1, "host": 'Zo\u00eb "1"'}),
        checked({}),
        checked(None),
        checked(READINGS | {"memory_used_bytes": -1}),
        checked(READINGS | {"memory_used_bytes": 5_000_000_000}),
        checked(READINGS | {"temperature_c": -300.5}),
        checked(READINGS | {"net_rx_bytes": -1e3}),
        ("summary", {"id": "r1", "record": {"id": "r1", "data": READINGS | {"memory_used_percent": 75.04}}}),
        ("summary", {}),
        ("summary", "{"),
        ("summary", ""),
    ),
    replies={"notify": {"ok": {}}},
    config={"memory_alarm_percent": "70"},
)
SCENES: dict[str, tuple[Scene, ...]] = {
    "telemetry": (_TELEMETRY,),
    "telemetry-1.1.0": (_TELEMETRY,),
    "telemetry-1.2.0": (Scene(calls=(checked(READINGS), checked(READINGS), checked({}))),),
    "sensors": (
        Scene(
            calls=(("collect", {"event": "timer"}), ("collect", ""), ("collect", '{"a":'), ("probe", {})),
            replies={"readings": {"ok": READINGS}, "save": {"ok": {"id": "slot-100"}}},
        ),
        Scene(
            calls=(("collect", {}),),
            replies={"readings": {"ok": READINGS}, "save": {"error": {"code": "not-found", "message": "no"}}},
            config={"ring": "0", "host": "caf\u00e9"},
        ),
        Scene(
            calls=(("collect", {}),),
            replies={"readings": {"error": {"code": "busy", "message": "later"}}, "save": {}},
        ),
    ),
    "greeter": (
        Scene(
            calls=(
                ("greet", {"name": "Ada"}),
                ("greet", {"name": "Zo\u00eb \U0001f600", "more": [1]}),
                ("greet", {"name": ""}),
                ("greet", {"name": 3}),
                ("greet", ""),
                ("probe", ""),
            ),
            replies={"now": {"ok": {"unix_s": 1_700_000_000.25}}},
        ),
        Scene(
            calls=(("greet", {"name": "Ada"}),),
            replies={"now": {"error": {"code": "busy", "message": "later"}}},
        ),
    ),
    "delivery": (
        Scene(
            calls=(
                checked(PARCEL),
                checked({}),
                checked(PARCEL | {"status": "completed"}),
                ("complete", {"port": "complete-delivery", "record": DELIVERY}),
                ("complete", {"record": {"data": {"drill": {"refuse": "complete-delivery"}}}}),
                ("reopen", {"record": DELIVERY}),
                ("reopen", {}),
                ("note_taken_back", {"event": {"data": {"id": "d1"}}}),
            ),
            replies={"get": {"ok": DELIVERY | {"revision": "r1"}}, "save": {"ok": DELIVERY}},
        ),
        Scene(
            calls=(("note_taken_back", {"event": {"data": {"id": "d1"}}}),),
            replies={"get": {"error": {"code": "not-found", "message": "gone"}}, "save": {}},
        ),
    ),
    "courier": (
        Scene(
            calls=(
                ("carry", {"port": "fly-drone", "token": "t/1", "record": DELIVERY}),
                ("carry", {"port": "undo-fly-drone", "token": "t/1", "record": DELIVERY}),
                ("carry", {"port": "fly-kite", "token": "t/1", "record": DELIVERY}),
                ("carry", {}),
            ),
            replies={"service": {"ok": {"reference": "t.1"}}},
        ),
        Scene(
            calls=(("carry", {"port": "pick-items", "token": "t/1", "record": DELIVERY}),),
            replies={"service": {"error": {"code": "unavailable", "message": "away"}}},
        ),
    ),
    "depot": (
        Scene(
            calls=(
                ("book", ORDER),
                ("book", ORDER | {"drill": {"refuse": "fly-drone"}}),
                ("book", ORDER | {"drill": {"lose": "fly-drone"}}),
                ("book", {"what": "fly-drone"}),
                ("unbook", ORDER),
                ("unbook", ORDER | {"drill": {"keep": "fly-drone"}}),
            ),
            replies={"save": {"ok": {}}, "get": {"ok": {"revision": "r1"}}, "now": {"ok": {"unix_s": 1.5}}},
        ),
        Scene(
            calls=(("book", ORDER), ("unbook", ORDER)),
            replies={
                "save": {"error": {"code": "revision-conflict", "message": "there"}},
                "get": {"error": {"code": "not-found", "message": "no"}},
                "now": {"ok": {"unix_s": 1.5}},
            },
        ),
    ),
    "booking": (Scene(calls=(("healthy", ""),)),),
    "geofence": (
        Scene(
            calls=(
                checked(POSITION),
                checked(POSITION | {"latitude": 0, "longitude": -179.5}, "drone-7"),
                checked(POSITION | {"latitude": 0}, previous={"inside": False}),
                checked(POSITION | {"latitude": 91}),
                checked(POSITION | {"longitude": "13"}),
                checked([]),
                ("report", {"id": "r1", "record": {"id": "r1", "data": POSITION}}),
                ("report", {}),
                ("report", "[[[[[[" * 50),
            ),
            replies={"notify": {"ok": {}}},
        ),
        Scene(calls=(checked(POSITION),), config={"radius_m": "wide"}, replies={"notify": {"ok": {}}}),
    ),
}


@dataclass
class Outcome:
    """All that a scene shows of a component."""

    answers: list[tuple[str, str]] = field(default_factory=list)
    host_calls: list[tuple[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def committed(folder: str) -> bytes:
    (path,) = (EXAMPLES / folder).glob("*-*.*.*.wasm")
    return path.read_bytes()


def payload_of(given: Any) -> bytes:
    return given.encode() if isinstance(given, str) else json.dumps(given).encode()


async def in_sandbox(sandboxes: SandboxFactory, wasm: bytes, scene: Scene) -> Outcome:
    outcome = Outcome()
    spec = read_component(wasm)

    async def host_call(_component: str, function: str, payload: bytes, _context: CallContext) -> bytes:
        outcome.host_calls.append((function, json.loads(payload)))
        return json.dumps(scene.replies[function]).encode()

    plan = SandboxPlan(spec.name, wasm, spec.abi, spec.limits, spec.grants, {**spec.config, **scene.config})
    sandbox = await sandboxes.start(
        plan, host_call=host_call, log=lambda _component, _level, line: outcome.log.append(line)
    )
    try:
        for function, given in scene.calls:
            try:
                answer = await sandbox.call(function, payload_of(given), deadline_s=5)
            except GuestError as error:
                outcome.answers.append(("refused", error.message.removeprefix(f"{spec.name}: ")))
            else:
                outcome.answers.append(("answered", answer.decode()))
    finally:
        await sandbox.close()
    return outcome


def in_extism(wasm: bytes, scene: Scene) -> Outcome:
    outcome = Outcome()
    spec = read_component(wasm)

    def offered(function: str) -> Any:
        @extism.host_fn(  # type: ignore[untyped-decorator]
            name=function,
            namespace="extism:host/user",
            signature=([extism.ValType.I64], [extism.ValType.I64]),
        )
        def call(plugin: Any, inputs: Any, outputs: Any) -> None:
            outcome.host_calls.append((function, json.loads(plugin.input_string(inputs[0]))))
            plugin.return_string(outputs[0], json.dumps(scene.replies[function]))

        return call

    plugin = extism.Plugin(
        wasm,
        config={**spec.config, **scene.config},
        functions=[offered(name) for name in spec.grants.functions],
    )
    for function, given in scene.calls:
        try:
            answer = plugin.call(function, payload_of(given))
        except extism.Error as error:
            outcome.answers.append(("refused", str(error).splitlines()[0]))
        else:
            outcome.answers.append(("answered", bytes(answer).decode()))
    return outcome
