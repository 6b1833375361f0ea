"""The AEGIS example: source and component agree, and Node.js with AssemblyScript's own bindings says the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.adapters.sandbox.worker.faults import Fault
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from edgehost.domain.aegis_convention import text_of
from edgehost.domain.component_file import read_component
from edgehost.domain.wasm_outline import read_outline
from tests.adapters.sandbox.in_process import Guest
from tests.journeys.guest_scenes import EXAMPLES, committed
from tests.journeys.test_guests import built, compiled
from tests.required_tools import require_tool

#: Reads {function, given} a line and writes {answer} or {thrown}; pairs are made of objects as AEGIS makes them.
REFERENCE = """
import { createInterface } from "node:readline";
console.log = (line) => process.stderr.write(`${line}\\n`);
const guest = await import("./build/counter.js");
const SCALARS = ["string", "number", "boolean"];
const pairs = (given) => Object.entries(given).filter(([, v]) => SCALARS.includes(typeof v)).map(([k, v]) => [k, v.toString() || "_"]);
for await (const line of createInterface({ input: process.stdin })) {
  const { name, given } = JSON.parse(line);
  let said;
  try {
    const answer = given === null ? guest[name]() : guest[name](typeof given === "number" ? given : pairs(given));
    said = { answer: Array.isArray(answer) ? Object.fromEntries(answer) : answer };
  } catch (error) {
    said = { thrown: error.message };
  }
  process.stdout.write(`${JSON.stringify(said)}\\n`);
}
"""
GETTERS = ("getModelName", "getEndpoint", "getDomain", "getPorts", "getCommands")
FUNCTIONS = (
    "modelFactory",
    "validate",
    "onUpdate",
    "onDelete",
    "increment",
    "runFibonacci",
    "describe",
    "announced",
    "unannounce",
)


class NodeReference:
    """The module in Node.js, behind the bindings that the compiler wrote for it."""

    def __init__(self, folder: Path) -> None:
        (folder / "reference.mjs").write_text(REFERENCE)
        self._process = subprocess.Popen(
            [require_tool("node"), "reference.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, name: str, document: Any) -> tuple[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"name": name, "given": document}) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        return ("trap", said["thrown"]) if "thrown" in said else ("answered", said.get("answer"))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], bytes]:
    """The example's folder, compiled anew."""
    require_tool("node")
    require_tool("npm")
    copy = tmp_path_factory.mktemp("aegis") / "aegis-counter"
    shutil.copytree(
        EXAMPLES / "aegis-counter", copy, ignore=shutil.ignore_patterns("build", "node_modules", "*.wasm")
    )
    return copy, *compiled(copy)


@pytest.fixture(scope="module")
def node(source: tuple[Path, dict[str, Any], bytes]) -> Iterator[NodeReference]:
    reference = NodeReference(source[0])
    yield reference
    reference.close()


@pytest.fixture(scope="module")
def ours(source: tuple[Path, dict[str, Any], bytes]) -> Guest:
    """The same module in our engine."""
    return Guest(source[2], LoadPlan(abi="aegis"))


def in_ours(guest: Guest, name: str, document: Any) -> tuple[str, Any]:
    try:
        output = guest.call(name, b"" if document is None else json.dumps(document).encode())
    except Fault as fault:
        return "trap", fault.message
    answer = json.loads(output)
    return "answered", as_texts(answer) if isinstance(answer, dict) else answer


def as_texts(answer: dict[str, Any]) -> dict[str, Any]:
    """What came back as it was sent is a number or boolean with us, and a text with Node.js."""
    return {key: value if value is None else text_of(value) for key, value in answer.items()}


def same(ours: tuple[str, Any], theirs: tuple[str, Any]) -> bool:
    if isinstance(theirs[1], dict) and ours[0] == theirs[0]:
        shown = {key: value or "_" for key, value in theirs[1].items()}
        return ours[1].keys() == shown.keys() and all(
            _same_text(ours[1][key], value) for key, value in shown.items()
        )
    return ours == theirs


def _same_text(one: str, other: str) -> bool:
    if one == other:
        return True
    try:  # 15 came back as 15.0, which is the 15 that was sent
        return float(one) == float(other)
    except ValueError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_component_is_what_its_source_builds(source: tuple[Path, dict[str, Any], bytes]) -> None:
    _, document, wasm = source
    async with open_sandbox_factory() as sandboxes:
        component = await built(sandboxes, document, wasm)
    known = committed("aegis-counter")
    assert read_component(component) == read_component(known)
    assert read_outline(component) == read_outline(known)
    model = read_component(component).model
    assert model is not None
    assert sorted(model.commands) == ["describe", "increment", "run-fibonacci"]
    assert sorted(model.ports) == ["announce", "push"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("getter", GETTERS)
def test_getters_say_the_same_in_node(getter: str, ours: Guest, node: NodeReference) -> None:
    assert in_ours(ours, getter, None) == node.ask(getter, None)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [0, 1, 2, 10, 17.0, -3])
def test_functions_on_numbers_say_the_same_in_node(number: float, ours: Guest, node: NodeReference) -> None:
    assert in_ours(ours, "fibonacci", number) == node.ask("fibonacci", number)


_NAMES = st.sampled_from(["name", "count", "step", "changes", "fibonacci", "by", "seen", "status"])
_VALUES = (
    st.text(max_size=20)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | st.sampled_from(["ok", "12abc", "1e3", " 7 ", "-0", "", {}, [1]])
)
#: Keys that a JavaScript object would sort, or take for its prototype, are not what is compared.
_KEYS = _NAMES | st.text(max_size=8).filter(lambda key: not key.isdigit() and key != "__proto__")


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(FUNCTIONS), document=st.dictionaries(_KEYS, _VALUES, max_size=8))
def test_every_answer_and_every_trap_is_the_same_in_node(
    name: str, document: dict[str, Any], ours: Guest, node: NodeReference
) -> None:
    ours_said, theirs_said = in_ours(ours, name, document), node.ask(name, document)
    assert same(ours_said, theirs_said), (ours_said, theirs_said)
