"""An edge node of Sparkplug B against mosquitto, read by protobuf with the official schema."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.adapters.upstream.sparkplug import REBIRTH
from edgehost.adapters.upstream.sparkplug_payload import (
    BOOLEAN,
    DOUBLE,
    INT64,
    STRING,
    Metric,
    asked_for,
    encode_payload,
)
from edgehost.domain.errors import RefusedError
from tests.adapters.upstream.upstream_scene import (
    HOST_NODE,
    LAMP_NODE,
    broken,
    plant,
    plant_heard,
    sparkplug_schema,
    value_of,
)
from tests.required_tools import require_tool

_SCALARS = {
    INT64: st.integers(-(2**63), 2**63 - 1),
    DOUBLE: st.floats(allow_nan=False),
    BOOLEAN: st.booleans(),
    STRING: st.text(max_size=40),
}
_METRICS = st.sampled_from(sorted(_SCALARS)).flatmap(
    lambda datatype: st.builds(
        Metric,
        st.text(min_size=1, max_size=20),
        st.just(datatype),
        st.none() | _SCALARS[datatype],
        st.integers(0, 2**63),
        st.sampled_from(["", "°C", "B"]),
    )
)


@given(st.lists(_METRICS, max_size=8), st.integers(0, 2**63), st.one_of(st.none(), st.integers(0, 255)))
def test_the_official_schema_reads_what_is_written(
    metrics: list[Metric], at_ms: int, seq: int | None
) -> None:
    read = sparkplug_schema().Payload.FromString(encode_payload(metrics, at_ms=at_ms, seq=seq))
    assert read.timestamp == at_ms
    assert (read.seq if read.HasField("seq") else None) == seq
    assert len(read.metrics) == len(metrics)
    for metric, found in zip(metrics, read.metrics, strict=True):
        assert (found.name, found.datatype) == (metric.name, metric.datatype)
        assert found.timestamp == metric.at_ms
        value = value_of(found)
        if metric.datatype == INT64 and value is not None and value >= 2**63:
            value -= 2**64
        assert value == metric.value
        units = dict(zip(found.properties.keys, found.properties.values, strict=True))
        assert (units["engUnit"].string_value if units else "") == metric.unit


def command(name: str, value: object) -> bytes:
    schema = sparkplug_schema()
    payload = schema.Payload(timestamp=1)
    payload.metrics.add(name="other", datatype=INT64, long_value=3)
    metric = payload.metrics.add(name=name, datatype=BOOLEAN)
    if value is not None:
        metric.boolean_value = value
    return bytes(payload.SerializeToString())


def test_a_rebirth_is_asked_for_by_a_true_metric_only() -> None:
    assert asked_for(command(REBIRTH, True), REBIRTH)
    assert not asked_for(command(REBIRTH, False), REBIRTH)
    assert not asked_for(command("Node Control/Reboot", True), REBIRTH)
    assert not asked_for(b"", REBIRTH)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(payload: bytes) -> None:
    try:
        asked_for(payload, REBIRTH)
    except RefusedError:
        return


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
async def test_births_come_first_and_data_tells_what_changed(version: str) -> None:
    async with open_broker(kind="mosquitto") as broker, plant_heard(broker) as heard:
        async with plant(broker, HOST_NODE, LAMP_NODE, version=version) as upstream:
            birth = await heard.next()
            assert (birth.kind, birth.retain, birth.payload.seq) == ("NBIRTH", False, 0)
            assert birth.values["temperature_c"] == 41.5
            assert birth.values[REBIRTH] is False
            assert birth.values["Components/telemetry/Latest"] == "1.1.0"
            assert birth.bd_seq == 0
            device = await heard.next()
            assert (device.kind, device.device, device.payload.seq) == ("DBIRTH", "lamp", 1)
            assert device.values["component/on"] is True
            assert device.values["component/level"] == 0.5
            (level,) = [each for each in device.payload.metrics if each.name == "component/level"]
            assert level.properties.values[0].string_value == "%"
            assert level.datatype == DOUBLE
            assert level.timestamp == device.payload.timestamp

            upstream.show(replace(LAMP_NODE, figures={**LAMP_NODE.figures, "component.on": False}))
            data = await heard.next()
            assert (data.kind, data.payload.seq, data.values) == ("DDATA", 2, {"component/on": False})
            upstream.show(replace(LAMP_NODE, figures={"up_ms": 5, "component.on": False}))
            data = await heard.next()
            assert data.values == {"component/level": None, "component/mood": None}
            more = {"up_ms": 5, "component.on": False, "component.new": 1}
            upstream.show(replace(LAMP_NODE, figures=more))
            again = await heard.next()
            assert (again.kind, again.values["component/new"]) == ("DBIRTH", 1)
            upstream.show(replace(LAMP_NODE, online=False))
            dead = await heard.next()
            assert (dead.kind, dead.device, dead.payload.seq) == ("DDEATH", "lamp", 5)
            upstream.show(replace(HOST_NODE, figures={"temperature_c": 42, "uptime_s": 12.0}))
            data = await heard.next()
            assert (data.kind, data.values) == ("NDATA", {"temperature_c": 42})
        death = await heard.next()
        assert (death.kind, death.retain, death.bd_seq) == ("NDEATH", False, 0)
        assert not death.payload.HasField("seq")


async def test_who_asks_for_a_rebirth_gets_every_metric_again() -> None:
    async with (
        open_broker(kind="mosquitto") as broker,
        plant_heard(broker) as heard,
        plant(broker, HOST_NODE, LAMP_NODE),
    ):
        await heard.until("DBIRTH")
        await send(broker, b"\xff\xff\xff")
        await send(broker, command(REBIRTH, False))
        await send(broker, command(REBIRTH, True))
        birth = await heard.until("NBIRTH")
        assert (birth.payload.seq, birth.bd_seq) == (0, 0)
        device = await heard.next()
        assert (device.kind, device.payload.seq) == ("DBIRTH", 1)


async def test_each_connection_has_a_death_of_its_own() -> None:
    async with open_broker(kind="mosquitto") as broker, plant(broker, HOST_NODE, LAMP_NODE) as upstream:
        async with plant_heard(broker) as heard:
            await connected(upstream)
            broken(await upstream._keeper.link())
            death = await heard.until("NDEATH")
            assert death.qos == 1
            birth = await heard.until("NBIRTH")
            assert birth.bd_seq == death.bd_seq + 1
            await heard.until("DBIRTH")
        await broker.stop(kill=True)
        await broker.start()
        async with plant_heard(broker) as heard:
            await connected(upstream)
            await send(broker, command(REBIRTH, True))
            assert (await heard.until("NBIRTH", lambda each: each.payload.seq == 0)).bd_seq > birth.bd_seq


async def test_every_number_is_a_double_and_what_has_no_value_yet_is_no_metric() -> None:
    async with open_broker(kind="mosquitto") as broker, plant_heard(broker) as heard:
        strange = replace(LAMP_NODE, figures={"n": 2**53, "m": -0.0, "t": "ö", "later": None})
        async with plant(broker, HOST_NODE, strange):
            birth = await heard.until("DBIRTH")
            assert birth.values["n"] == float(2**53)
            assert math.copysign(1, birth.values["m"]) == -1
            assert birth.values["t"] == "ö"
            assert "later" not in birth.values


async def send(broker: EmbeddedBroker, payload: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        require_tool("mosquitto_pub"),
        *("-p", str(broker.tcp_port), "-t", "spBv1.0/yard/NCMD/journey", "-s", "-q", "1"),
        stdin=asyncio.subprocess.PIPE,
    )
    await process.communicate(payload)


async def connected(upstream: object) -> None:
    async with asyncio.timeout(20):
        while not upstream.connected:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
