"""CBOR sequences are cut into items, however they arrive, and nothing but JSON gets through."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.cbor_sequence import CborItems, MalformedCBORError
from edgehost.domain.errors import RefusedError, TooLargeError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@given(st.lists(JSON, max_size=5), st.integers(1, 7), st.booleans())
def test_items_are_whole_however_they_are_cut(values: list[Any], step: int, canonical: bool) -> None:
    sequence = b"".join(cbor2.dumps(value, canonical=canonical) for value in values)
    items = CborItems(10_000)
    found = []
    for start in range(0, len(sequence), step):
        found += list(items.feed(sequence[start : start + step]))
    items.finish()
    assert [cbor2.loads(item) for item in found] == values


def test_lists_and_maps_of_unknown_length_are_read() -> None:
    sequence = bytes.fromhex("9f01820203ff bf6161f5ff 80 a0 9fff".replace(" ", ""))
    assert [cbor2.loads(item) for item in CborItems(100).feed(sequence)] == [
        [1, [2, 3]],
        {"a": True},
        [],
        {},
        [],
    ]


@pytest.mark.parametrize(
    "head",
    ["c001", "4161", "f7", "e0", "f800", "ff", "1c", "3e", "5f", "7f", "fc", "dbffffffffffffffff"],
)
def test_what_json_does_not_have_is_refused(head: str) -> None:
    with pytest.raises(MalformedCBORError):
        list(CborItems(100).feed(bytes.fromhex(head)))


@pytest.mark.parametrize("start", [b"\x7b" + b"\xff" * 8, b"\x9a\xff\xff\xff\xff", b"\xbb" + b"\xff" * 8])
def test_a_promised_length_beyond_the_limit_is_refused_at_once(start: bytes) -> None:
    with pytest.raises(TooLargeError):
        list(CborItems(1000).feed(start))


def test_a_deep_item_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(TooLargeError):
        list(CborItems(1_000_000).feed(b"\x81" * 100_000))


def test_a_sequence_that_is_cut_off_is_told() -> None:
    items = CborItems(100)
    assert list(items.feed(b"\x82\x01")) == []
    with pytest.raises(MalformedCBORError):
        items.finish()


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_being_refused(noise: bytes) -> None:
    items = CborItems(1000)
    try:
        for item in items.feed(noise):
            cbor2.loads(item)
        items.finish()
    except (RefusedError, cbor2.CBORDecodeError, TypeError, ValueError):
        pass
