"""Specifications for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from edgehost.domain.component_spec import HOST_FUNCTIONS
from edgehost.domain.model_spec import PERMISSIONS
from edgehost.domain.port_spec import BREAKER_CLASSES
from edgehost.domain.property_spec import NAMED_PATTERNS

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


MEMBERS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True)
PATHS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
CONDITIONS = st.booleans() | _table({"field": PATHS, "values": st.lists(SCALARS, min_size=1, max_size=3)}, {})
COMMANDS = st.dictionaries(
    NAMES.filter(lambda name: name != "verify"),
    _table(
        {},
        {
            "export": EXPORTS,
            "description": TEXTS,
            "acl": st.lists(st.sampled_from(PERMISSIONS), min_size=1, max_size=3),
            "enabled": st.booleans(),
        },
    ),
    max_size=3,
)
PROPERTIES = st.dictionaries(
    MEMBERS,
    st.one_of(
        _table(
            {},
            {
                "required": CONDITIONS,
                "frozen": st.just(value=False) | _table({"field": PATHS, "values": st.just([1])}, {}),
                "transitions": st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2),
                "unique": st.booleans(),
                "computed": EXPORTS,
                "updated": EXPORTS,
                "pattern": st.sampled_from([*NAMED_PATTERNS, "[A-Z]{3}-[0-9]+"]),
            },
        ),
        _table({}, {"required": CONDITIONS, "frozen": CONDITIONS, "encrypted": st.booleans()}),
        _table({}, {"required": st.booleans(), "frozen": st.booleans()}),
    ),
    max_size=3,
)
PORTS = st.dictionaries(
    NAMES,
    _table(
        {"direction": st.just("outbound")},
        {
            "adapter": NAMES,
            "service": NAMES,
            "consumes": st.sampled_from(["sensor.*", "a.b"]),
            "produces": st.just("order.shipped"),
            "timeout_ms": st.integers(0, 3_600_000),
            "breaker": st.dictionaries(
                st.sampled_from(BREAKER_CLASSES), _table({}, {"error_rate": st.floats(0, 1)}), max_size=2
            ),
        },
    )
    | _table({"direction": st.just("inbound")}, {"export": EXPORTS, "topic": st.just("a/b")}),
    max_size=2,
)
RULES = _table({}, {key: st.lists(st.sampled_from(["*", "pump", "role:nurse"])) for key in ("allow", "deny")})
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
        "domain": NAMES,
        "factory": EXPORTS,
        "migrate": EXPORTS,
        "ports": PORTS,
        "properties": PROPERTIES,
        "relations": st.dictionaries(
            NAMES,
            _table({"model": NAMES, "type": st.just("many_to_one"), "foreign_key": PATHS}, {"key": PATHS}),
            max_size=2,
        ),
        "handlers": st.lists(
            _table(
                {"on": st.just("record.*"), "export": EXPORTS},
                {"where": st.dictionaries(TEXTS, SCALARS, max_size=2), "once": st.booleans()},
            ),
            max_size=2,
        ),
        "source": _table({}, {"adapter": NAMES, "cache": st.integers(0, 100)}),
        "access": st.dictionaries(st.sampled_from(PERMISSIONS), RULES, max_size=3),
        "serializers": st.lists(
            _table(
                {"on": st.just("network"), "key": MEMBERS, "action": st.sampled_from(["omit", "mask"])}, {}
            ),
            max_size=2,
            unique_by=lambda each: each["key"],
        ),
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
