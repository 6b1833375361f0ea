"""Specifications for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from edgehost.domain.component_spec import HOST_FUNCTIONS

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
EXPORTS = st.from_regex(r"[\x21-\x7e]{1,30}", fullmatch=True)
TEXTS = st.text(max_size=40)
VERSIONS = st.builds("{}.{}.{}{}".format, *[st.integers(0, 99)] * 3, st.sampled_from(["", "-rc.1", "+b7"]))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _table(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


COMMANDS = st.dictionaries(NAMES, _table({}, {"export": EXPORTS, "description": TEXTS}), max_size=3)
MODELS = _table(
    {},
    {
        "name": NAMES,
        "endpoint": NAMES,
        "schema": st.dictionaries(TEXTS, JSON, max_size=3),
        "validate": EXPORTS,
        "on_update": EXPORTS,
        "on_delete": EXPORTS,
        "commands": COMMANDS,
    },
)
SERVICES = _table(
    {"export": EXPORTS}, {"every_s": st.just(0.0) | st.floats(0.05, 86_400) | st.integers(1, 60)}
)
LIMITS = _table(
    {},
    {
        "memory_kib": st.integers(64, 1_048_576),
        "stack_kib": st.integers(8, 256),
        "deadline_ms": st.integers(1, 600_000),
        "instances_min": st.integers(1, 2),
        "instances_max": st.integers(2, 64),
        "queue": st.integers(0, 10_000),
    },
)
GRANTS = _table(
    {},
    {
        "functions": st.lists(st.sampled_from(sorted(HOST_FUNCTIONS)), unique=True),
        "models": st.lists(NAMES, max_size=3),
        "components": st.lists(NAMES, max_size=3),
        "http_hosts": st.lists(st.sampled_from(["example.org", "*.example.org:8080"]), max_size=2),
    },
)
COMMON: dict[str, Any] = {
    "description": TEXTS,
    "device_classes": st.lists(NAMES, max_size=3),
    "probe": _table({}, {"export": EXPORTS, "input": TEXTS, "deadline_ms": st.integers(1, 60_000)}),
    "limits": LIMITS,
    "grants": GRANTS,
    "config": st.dictionaries(TEXTS, TEXTS, max_size=3),
}

MODEL_DOCUMENTS = _table(
    {"name": NAMES, "version": VERSIONS, "kind": st.just("model"), "model": MODELS}, COMMON
)
SERVICE_DOCUMENTS = _table(
    {"name": NAMES, "version": VERSIONS, "kind": st.just("service"), "service": SERVICES},
    COMMON | {"abi": st.sampled_from(["extism", "plain"])},
)
ADAPTER_DOCUMENTS = _table({"name": NAMES, "version": VERSIONS, "kind": st.just("adapter")}, COMMON)

DOCUMENTS = st.one_of(MODEL_DOCUMENTS, SERVICE_DOCUMENTS, ADAPTER_DOCUMENTS)
