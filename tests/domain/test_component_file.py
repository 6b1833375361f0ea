from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.component_file import SPEC_SECTION, component_summary, embed_spec, padded, read_component
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.spec_document import MAX_SPEC_BYTES, decode_spec, encode_document
from edgehost.domain.wasm_outline import MemoryType, bound_memory, read_outline
from edgehost.domain.wasm_sections import (
    HEADER,
    MAX_WASM_BYTES,
    WasmReader,
    custom_section,
    leb128,
    read_sections,
)
from tests.domain.spec_strategies import DOCUMENTS
from tests.domain.wasm_samples import memory, sample

DOCUMENT: dict[str, Any] = {
    "name": "hello",
    "version": "1.0.0",
    "kind": "service",
    "service": {"export": "run"},
}
COMPONENT = embed_spec(sample(memories=memory(1)), DOCUMENT)
EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/*-*.wasm"))


def read_all(wasm: bytes) -> None:
    read_outline(wasm)
    component_summary(read_component(wasm), wasm)
    bound_memory(wasm, 1024)


def refusal(wasm: bytes) -> str:
    with pytest.raises(InvalidComponentError) as caught:
        read_all(wasm)
    return str(caught.value)


@given(DOCUMENTS)
def test_an_embedded_specification_reads_back(document: dict[str, Any]) -> None:
    assert read_component(embed_spec(COMPONENT, document)) == read_component_spec(document)


def test_embedding_twice_is_embedding_once() -> None:
    assert embed_spec(COMPONENT, DOCUMENT) == COMPONENT
    other = embed_spec(COMPONENT, DOCUMENT | {"version": "2.0.0"})
    assert read_component(other).version == "2.0.0"
    assert len(other) == len(COMPONENT)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for wasm in (content, HEADER + content):
        with suppress(InvalidComponentError):
            read_all(wasm)


def damaged(content: bytes, chance: random.Random) -> bytes:
    result = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(result) or 1)
        match chance.randrange(3):
            case 0:  # heads of long numbers, strings, lists and tables, endless ones, and any other byte
                head = chance.choice((0x1B, 0x5F, 0x7B, 0x9B, 0xBB, 0xFF, chance.randrange(256)))
                result[at : at + 1] = bytes((head,)) + chance.choice((b"", b"\xff" * 8))
            case 1:
                del result[at : at + chance.randint(1, 9)]
            case _:
                result[at:at] = bytes(chance.choices(range(256), k=chance.randint(1, 9)))
    return bytes(result)


@given(
    st.sampled_from([COMPONENT, *(path.read_bytes() for path in EXAMPLES)]), st.randoms(use_true_random=True)
)
def test_a_damaged_component_is_read_or_refused(wasm: bytes, chance: random.Random) -> None:
    with suppress(InvalidComponentError):
        read_all(damaged(wasm, chance))


@settings(max_examples=250)
@given(st.randoms(use_true_random=True))
def test_a_damaged_specification_is_read_or_refused(chance: random.Random) -> None:
    with suppress(InvalidComponentError):
        read_component(sample() + custom_section(SPEC_SECTION, damaged(encode_document(DOCUMENT), chance)))


@given(st.binary(max_size=120))
def test_any_bytes_in_the_specification_are_read_or_refused(content: bytes) -> None:
    wasm = sample() + custom_section(SPEC_SECTION, content)
    with pytest.raises(InvalidComponentError):
        read_component(wasm)


def test_every_cut_is_refused() -> None:
    for size in range(len(COMPONENT)):
        with pytest.raises(InvalidComponentError):
            read_component(COMPONENT[:size])


def test_a_file_without_a_specification_says_how_to_make_one() -> None:
    assert "edgehost build" in refusal(sample())


def test_two_specifications_are_refused() -> None:
    assert "2 'edgehost.component' sections" in refusal(
        COMPONENT + custom_section(SPEC_SECTION, encode_document(DOCUMENT))
    )


def test_the_component_model_is_named() -> None:
    assert "component model" in refusal(b"\0asm\x0d\0\x01\0")


def test_a_file_of_another_kind_and_one_that_is_too_large_are_refused() -> None:
    assert "does not start like" in refusal(b"\x7fELF" + bytes(100))
    assert "at most" in refusal(HEADER + bytes(MAX_WASM_BYTES))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (cbor2.dumps([1]), "no table"),
        (cbor2.dumps(DOCUMENT) + b"\0", "bytes follow"),
        (cbor2.dumps(DOCUMENT)[:-1], "too early"),
        (b"\xa2\x61a\x01\x61a\x02", "twice"),
        (b"\xbf\x61a\x01\xff", "indefinite"),
        (b"\xa1\x61a\xd9\xd9\xf7\x01", "tags"),
        (b"\xa1\x61a\x41x", "bytes, tags"),
        (b"\xa1\x61a\xf7", "special values"),
        (b"\xa1\x01\x02", "no string"),
        (b"\xa1\x61a\xfb\x7f\xf8\0\0\0\0\0\0", "cannot express"),
        (b"\xa1\x61a\x62\xff\xff", "cannot be decoded"),
        (b"\xa1\x61a" + b"\x81" * 40 + b"\x01", "nested"),
        (b"\x81" * 60_000, "nested"),
        (b"\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "more items"),
        (b"\xa1\x61a\x7b\x7f\xff\xff\xff\xff\xff\xff\xff", "string ends"),
        (b"\xa1\x61a\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "string ends"),
        (b"\x18", "length"),
        (bytes(MAX_SPEC_BYTES + 1), "limit"),
        (cbor2.dumps(DOCUMENT | {"nmae": "x"}), "nmae"),
    ],
)
def test_a_specification_is_decoded_strictly(content: bytes, what: str) -> None:
    assert what in refusal(sample() + custom_section(SPEC_SECTION, content))


@pytest.mark.parametrize(
    "value", [float("nan"), {1: 2}, b"bytes", [[[[]]]] * 30_000, object(), "x" * MAX_SPEC_BYTES]
)
def test_what_cannot_be_embedded_is_refused(value: Any) -> None:
    with pytest.raises(InvalidComponentError):
        encode_document({"config": value, "more": value})


def test_a_document_that_is_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(InvalidComponentError, match="deep"):
        encode_document(deep)


def test_the_deepest_document_that_embeds_reads_back() -> None:
    deep: Any = 1
    for _ in range(29):
        deep = {"a": deep}
    model = {"name": "m", "endpoint": "m", "schema": deep}
    document = {"name": "m", "version": "1.0.0", "kind": "model", "model": model}
    spec = decode_spec(encode_document(document))
    assert spec.model is not None
    assert spec.model.schema == deep


def test_the_outline_lists_imports_exports_and_memories_with_types() -> None:
    wasm = sample(("run", "stop"), [("extism:host/user", "now")], memory(2, 5))
    outline = read_outline(wasm)
    assert [(found.module, found.name, str(found.type)) for found in outline.imports] == [
        ("extism:host/user", "now", "(i64) -> i64")
    ]
    assert [(found.name, str(found.type)) for found in outline.exports] == [
        ("run", "() -> i32"),
        ("stop", "() -> i32"),
    ]
    assert outline.memories == (MemoryType(2, 5),)
    assert outline.function("nope") is None


@pytest.mark.parametrize(
    ("given_memory", "limit_kib", "bounded"),
    [
        (memory(1), 256, MemoryType(1, 4)),
        (memory(1, 2), 256, MemoryType(1, 2)),
        (memory(1, 65_536), 300, MemoryType(1, 4)),
        (memory(4), 256, MemoryType(4, 4)),
    ],
)
def test_memory_never_grows_beyond_the_limit(
    given_memory: bytes, limit_kib: int, bounded: MemoryType
) -> None:
    wasm = embed_spec(sample(memories=given_memory), DOCUMENT)
    result = bound_memory(wasm, limit_kib)
    assert read_outline(result).memories == (bounded,)
    assert read_component(result) == read_component(wasm)


def test_a_module_that_starts_above_the_limit_is_told_what_it_needs() -> None:
    with pytest.raises(InvalidComponentError, match="memory_kib = 320"):
        bound_memory(sample(memories=memory(5)), 256)


def test_a_module_without_memory_stays_as_it_is() -> None:
    assert bound_memory(sample(), 64) == sample()


@pytest.mark.parametrize("size", [0, 150, 1000, 50_000, 65_536, 300_000])
def test_padding_brings_a_component_to_its_size_and_changes_nothing_else(size: int) -> None:
    result = padded(COMPONENT, size)
    assert len(result) == len(COMPONENT) if size < len(COMPONENT) else size <= len(result) <= size + 20
    assert read_component(result) == read_component(COMPONENT)
    assert padded(COMPONENT, size) == result
    assert padded(result, size) == result


def test_numbers_are_read_as_the_specification_asks() -> None:
    assert WasmReader(b"\x80\x80\x80\x80\x08").u32() == 2**31
    assert WasmReader(b"\x81\x80\x80\x80\x00").u32() == 1  # linkers leave room for relocation
    for wrong in (b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x80\x00", b"\x80"):
        with pytest.raises(InvalidComponentError):
            WasmReader(wrong).u32()


@given(st.integers(0, 2**32 - 1))
def test_a_number_reads_back(number: int) -> None:
    assert WasmReader(leb128(number)).u32() == number


@pytest.mark.parametrize(
    ("wasm", "what"),
    [
        (HEADER + b"\x0d\x00", "unknown"),
        (HEADER + b"\x01\x00\x01\x00", "repeated"),
        (HEADER + b"\x03\x01\x00\x01\x01\x00", "out of order"),
        (HEADER + custom_section("x", b"") * 1001, "more than 1000 sections"),
        (HEADER + b"\x01\x05\xff\xff\xff\xff\x0f", "types"),
        (HEADER + b"\x01\x03\x01\x5f\x00", "no function"),
        (HEADER + b"\x01\x05\x01\x60\x01\x7b\x00", "value type"),
        (HEADER + b"\x01\x02\x00\x00", "too many"),
        (HEADER + b"\x03\x02\x01\x00", "number 0 of 0"),
        (HEADER + b"\x05\x04\x01\x04\x01\x02", "64-bit"),
        (HEADER + b"\x05\x05\x02\x00\x01\x00\x01", "memories"),
        (HEADER + b"\x05\x04\x01\x01\x02\x01", "impossible"),
        (HEADER + b"\x07\x09\x02\x01a\x02\x00\x01a\x02\x00", "twice"),
        (HEADER + b"\x07\x05\x01\x01a\x09\x00", "unknown kind"),
        (HEADER + b"\x00\x02\x01\xff", "UTF-8"),
        (HEADER + b"\x00\x04\xff\xff\x01\x00", "name of"),
        (HEADER + b"\x02\x06\x01\x00\x00\x01\x6f\x00", "references"),
    ],
)
def test_a_malformed_module_is_refused_with_what_is_wrong(wasm: bytes, what: str) -> None:
    with pytest.raises(InvalidComponentError, match=what):
        read_outline(wasm)


def test_imported_memories_tables_and_globals_are_read_and_an_imported_memory_is_not_bounded() -> None:
    entries = b"\x00\x01t\x01\x70\x00\x01" + b"\x00\x01m\x02\x00\x01" + b"\x00\x01g\x03\x7f\x00"
    content = b"\x03" + entries
    wasm = HEADER + b"\x02" + leb128(len(content)) + content
    assert [found.extern for found in read_outline(wasm).imports] == ["table", "memory", "global"]
    with pytest.raises(InvalidComponentError, match="imports its memory"):
        bound_memory(wasm, 64)


def test_reading_sections_keeps_every_byte() -> None:
    for path in EXAMPLES:
        wasm = path.read_bytes()
        assert HEADER + b"".join(section.whole() for section in read_sections(wasm)) == wasm


def test_the_summary_names_what_a_component_is_needs_and_offers() -> None:
    document = {
        "name": "m",
        "version": "1.0.0",
        "kind": "model",
        "model": {"name": "m", "endpoint": "things", "commands": {"run": {}}},
        "grants": {"functions": ["now"]},
    }
    wasm = embed_spec(sample(imports=[("extism:host/user", "now")], memories=memory(1)), document)
    text = component_summary(read_component(wasm), wasm)
    for part in (
        "m 1.0.0 (model",
        "run() -> i32",
        "extism:host/user (now)",
        "/things",
        "commands run",
        "without bound",
    ):
        assert part in text
