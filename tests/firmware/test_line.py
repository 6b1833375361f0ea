"""The line is bad, slow or shared: duplicates, noise, blocks, observers, and a host that comes and goes."""

from __future__ import annotations

import os
import random

import cbor2

from tests.firmware.conftest import BLINK, Device, Manifest, Start
from tests.firmware.device_client import (
    BLOCK1,
    CHANGED,
    CON,
    CONTENT,
    GET,
    NON,
    OBSERVE,
    PATH,
    POST,
    PUT,
    RST,
    Message,
    encode,
    frame,
    uint,
)
from tests.firmware.wat_guests import NOTIFYING, component, saying

ECHO = component("""(module
  (import "extism:host/env" "input_length" (func (result i64)))
  (import "extism:host/env" "input_offset" (func (result i64)))
  (import "extism:host/env" "output_set" (func (param i64 i64)))
  (func (export "echo") (result i32) (call 2 (call 1) (call 0)) (i32.const 0)))""")


def with_lamp(device: Device) -> None:
    """A component that counts what was done."""
    assert device.client.deploy(BLINK, Manifest(BLINK).bytes()).code == CHANGED


def observe(device: Device, path: str, token: bytes, interval_ms: int = 50) -> Message:
    """Observe a resource; its notifications come often."""
    client = device.client
    assert client.ask(PUT, "twin", cbor2.dumps({"interval_ms": interval_ms})).code == CHANGED
    return client.exchange(
        Message(CON, GET, client.next_id(), token, [(OBSERVE, b""), (PATH, path.encode())])
    )


def test_a_repeated_request_gets_the_same_answer_and_is_done_once(start: Start) -> None:
    with start() as device:
        with_lamp(device)
        client = device.client
        asked = client.request(POST, "call/device-blink/set", b'{"on": true}')
        first = client.exchange(asked)
        assert client.exchange(asked) == first
        calls = client.ask(GET, "tel").document["calls"]
        older = client.request(POST, "call/device-blink/set", b'{"on": false}')
        client.exchange(older)
        client.ask(GET, "id")
        client.send(older)  # not the newest any more: nothing is done, nothing is said
        client.ask(GET, "id")
        assert client.ask(GET, "tel").document["calls"] == calls + 2  # one of them is telemetry's own


def test_a_notification_between_a_request_and_its_repetition_changes_nothing(start: Start) -> None:
    with start() as device:
        with_lamp(device)
        client = device.client
        observe(device, "tel", b"\x77")
        asked = client.request(POST, "call/device-blink/set", b'{"on": true}')
        first = client.exchange(asked)
        while not client.unasked:
            told = client.receive(5)
            assert told is not None
            client.unasked.append(told)
        assert client.exchange(asked) == first


def test_observers_are_told_until_they_say_no(start: Start) -> None:
    with start() as device:
        with_lamp(device)
        client = device.client
        first = observe(device, "tel", b"\x77")
        assert first.code == CONTENT
        numbers, told = [first.option(OBSERVE)], first
        for _ in range(5):
            told = client.receive(5) or first
            assert (told.type, told.token) == (NON, b"\x77")
            assert told.document["component"] == '{"on":false,"switched":0}'
            numbers.append(told.option(OBSERVE))
        assert numbers == sorted({number for number in numbers if number is not None})
        client.send(Message(RST, 0, told.id))
        client.ask(GET, "id")
        client.unasked.clear()
        assert client.receive(0.3) is None


def test_an_observer_may_take_its_observation_back(start: Start) -> None:
    with start() as device:
        client = device.client
        observe(device, "tel", b"\x77")
        client.exchange(Message(CON, GET, client.next_id(), b"\x77", [(OBSERVE, b"\x01"), (PATH, b"tel")]))
        client.unasked.clear()
        assert client.receive(0.3) is None


def test_the_log_is_observed_and_told_as_text_too(start: Start) -> None:
    with start() as device:
        with_lamp(device)
        client = device.client
        observe(device, "log", b"\x78")
        client.call("device-blink", "set", b'{"on": true}')
        told = client.unasked[0] if client.unasked else client.receive(5)
        assert told is not None
        assert told.text.endswith("lamp on\n")
        assert client.texts[-1] == "lamp on"


def test_events_of_a_component_are_told_and_numbered(start: Start) -> None:
    wanted = '{"type":"moved", "data":7}'  # a line feed of the guest has become a space
    with start() as device:
        client = device.client
        assert client.deploy(NOTIFYING, Manifest(NOTIFYING).bytes()).code == CHANGED
        assert observe(device, "event", b"\x79").document == {"number": 0, "events": []}
        assert client.call("device-blink", "tell").code == CHANGED
        told = client.unasked[0] if client.unasked else client.receive(5)
        assert told is not None
        assert told.document == {"number": 1, "events": [wanted]}
        for _ in range(30):
            client.call("device-blink", "tell")
        kept = client.ask(GET, "event").document
        assert kept["number"] == 31
        assert kept["events"] == [wanted] * (512 // (len(wanted) + 1))
        assert client.call("device-blink", "tell_much").code == CHANGED
        assert client.ask(GET, "event").document["number"] == 31


def test_bodies_and_answers_of_several_blocks(start: Start) -> None:
    body = bytes(range(256)) * 31
    with start() as device:
        client = device.client
        assert client.deploy(ECHO, Manifest(ECHO).bytes()).code == CHANGED
        segments = [(PATH, part.encode()) for part in ("call", "device-blink", "echo")]
        answers = []
        for offset in range(0, len(body), 512):
            more = 8 if offset + 512 < len(body) else 0
            block1 = (BLOCK1, uint(offset // 512 << 4 | more | 5))
            asked = Message(
                CON,
                POST,
                client.next_id(),
                b"\x01",
                [*segments, block1],
                body[offset : offset + 512],
            )
            answers.append(client.exchange(asked))
        whole, number = answers[-1].payload, 1
        while len(whole) < len(body):
            part = client.exchange(
                Message(CON, POST, client.next_id(), b"\x01", [*segments, (23, uint(number << 4 | 5))])
            )
            assert part.code == CHANGED
            whole, number = whole + part.payload, number + 1
        assert whole == body
        gone = client.exchange(
            Message(CON, POST, client.next_id(), b"\x01", [*segments, (23, uint(1 << 4 | 5))])
        )
        assert gone.text.startswith("blocks:")


def test_blocks_may_be_as_small_as_the_host_wants(start: Start) -> None:
    wasm = saying("small")
    with start() as device:
        assert device.client.deploy(wasm, Manifest(wasm).bytes(), szx=0).code == CHANGED
        first = device.client.request(GET, ".well-known/core")
        first.options.append((23, uint(0)))
        assert len(device.client.exchange(first).payload) == 16


def test_a_missing_block_is_said(start: Start) -> None:
    with start() as device:
        answer = device.client.ask(PUT, "slot/manifest", b"x" * 64, options=[(BLOCK1, uint(3 << 4 | 2))])
        assert answer.code == 0x88


def test_a_ping_is_answered_and_other_things_are_not(start: Start) -> None:
    with start() as device:
        client = device.client
        client.send(Message(CON, 0, 0x55))
        answer = client.receive(5)
        assert answer is not None
        assert (answer.type, answer.id) == (RST, 0x55)
        for silent in (Message(NON, 0, 1), Message(2, 0, 2), Message(RST, 0, 3), Message(NON, CONTENT, 4)):
            client.send(silent)
        assert client.receive(0.2) is None


def test_a_request_that_wants_no_confirmation_is_answered_likewise(start: Start) -> None:
    with start() as device:
        client = device.client
        client.send(Message(NON, GET, 9, b"\x09", [(PATH, b"id")]))
        answer = client.receive(5)
        assert answer is not None
        assert (answer.type, answer.token, answer.code) == (NON, b"\x09", CONTENT)


def test_a_critical_option_that_is_unknown_is_refused(start: Start) -> None:
    with start() as device:
        assert device.client.ask(GET, "id", options=[(9, b"oscore")]).code == 0x82
        assert device.client.ask(GET, "id", options=[(10, b"elective")]).code == CONTENT


def test_a_noisy_line_loses_frames_and_nothing_else(start: Start) -> None:
    wasm, noise = saying("noise" + "." * 200), random.Random(1)  # noqa: S311 - noise

    def spoil(data: bytes) -> bytes:
        if noise.random() < 0.2:
            at = noise.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << noise.randrange(8)]) + data[at + 1 :]
        return os.urandom(noise.randrange(3)).replace(b"\xc0", b"") + data

    with start() as device:
        client = device.client
        client.spoil, client.tries, client.timeout_s = spoil, 20, 4.0
        assert client.deploy(wasm, Manifest(wasm).bytes()).code == CHANGED
        assert client.call("device-blink", "who").text.startswith("noise")
        assert client.ask(GET, "tel").document["bad_frames"] > 0


def test_a_frame_that_is_too_long_is_dropped(start: Start) -> None:
    with start() as device:
        device.client.line.write(frame(0xA9, encode(Message(CON, PUT, 1, b"", [], b"x" * 3000))))
        assert device.client.ask(GET, "id").code == CONTENT


def test_a_device_survives_any_messages(start: Start) -> None:
    generator = random.Random(2)  # noqa: S311 - the same messages every time
    with start() as device:
        with_lamp(device)
        paths = ["id", "twin", "tel", "log", "slot", "call", "slot/manifest", "slot/image", "slot/commit"]
        for _ in range(1500):
            options = [
                (
                    generator.choice([1, 6, 11, 12, 15, 17, 23, 27, 60]),
                    generator.randbytes(generator.randrange(5)),
                )
                for _ in range(generator.randrange(4))
            ]
            options += [(PATH, part.encode()) for part in generator.choice(paths).split("/")]
            raw = encode(
                Message(
                    generator.randrange(4),
                    generator.randrange(6),
                    generator.randrange(65536),
                    generator.randbytes(generator.randrange(9)),
                    options,
                    generator.randbytes(generator.randrange(40)),
                )
            )
            device.client.line.write(frame(0xA9, raw))
            while device.client.receive(0) is not None:
                continue
        device.client.tries = 5
        assert device.client.ask(GET, "id").code == CONTENT
        assert device.client.call("device-blink", "telemetry").code == CHANGED


def test_the_rate_of_the_line_changes_after_the_answer(start: Start) -> None:
    with start() as device:
        client = device.client
        assert client.ask(GET, "line").document == {"baud": 115200}
        assert client.ask(PUT, "line", cbor2.dumps({"baud": 1_000_000})).code == CHANGED
        assert client.ask(GET, "line").document == {"baud": 1_000_000}
        wrongs: list[dict[str, int]] = [{"baud": 300}, {"baud": 10**9}, {"rate": 9600}, {}]
        for wrong in wrongs:
            assert client.ask(PUT, "line", cbor2.dumps(wrong)).code == 0x80


def test_a_rate_at_which_nobody_speaks_is_given_up(start: Start) -> None:
    with start() as device:
        client = device.client
        assert client.ask(PUT, "line", cbor2.dumps({"baud": 230_400})).code == CHANGED
        while not client.texts or not client.texts[-1].startswith("line:"):
            client.receive(1)
        assert client.ask(GET, "line").document == {"baud": 115200}


def test_a_block_option_that_is_too_long_is_no_block_option(start: Start) -> None:
    with start() as device:
        answer = device.client.ask(GET, ".well-known/core", options=[(23, bytes.fromhex("10000005"))])
        assert answer.code == CONTENT
