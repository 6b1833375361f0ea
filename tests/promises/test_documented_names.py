"""What pages and messages name is there: files and folders, commands with their options, targets of make."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edgehost.cli.command_table import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "firmware_bridge/device/PROTOCOL.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "examples").rglob("README.md")),
)
FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
ROOMS = sorted(
    folder.name for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")
)
PATH = re.compile(rf"(?<![\w./~$-])(?:{'|'.join(map(re.escape, ROOMS))})/[\w.*/-]*[\w*/]")
#: Written by 'make bench'; not kept.
MADE = "bench/results.json"
#: Topics of a fleet begin as the package's folder does: there, only a file with an ending is one of ours.
TOPIC = re.compile(r"edgehost/(?!.*\.(?:py|toml|service)$)")
#: What a signature is made over begins with one of these, so that none of them passes for another.
SIGNED_AS = frozenset({"command", "cancellation", "rollout", "report"})
#: What follows the words of a command line: a comment, a second command, a place to write to.
END = re.compile(r"\s#\s|\s*(?:\||&&|;|>|2>)\s?|\)")
OPTION = re.compile(r"--?[a-z][a-z-]*")
COMMON = frozenset({"-c", "--config-file", "--json", "--debug", "-h", "--help"})
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
#: A rule, or one that a template of the firmware's makes for its board.
RULE = re.compile(r"^(?:\$\(eval \$\(call board,)?([a-z][a-z-]*)[:,]", re.MULTILINE)
#: Fewer, and the patterns below have stopped to see them.
LEAST_MESSAGES = 100
WORD = re.compile(r"[a-z][a-z-]*")
#: A hint such as "'edgehost fleet ls' lists them.", and an example line of a command's own help.
HINT = re.compile(r"'edgehost ([a-z][^'\n]*)'")
EXAMPLE = re.compile(r"^  edgehost ([a-z].*?)(?:   .*| *[#|].*)?$", re.MULTILINE)
SPLIT_TEXT = re.compile(r'"\s*\n\s*f?"')


def code_of(page: str) -> list[str]:
    """The lines of its blocks of code, continued ones joined, and its spans of code."""
    text = (ROOT / page).read_text()
    blocks = [block.replace("\\\n", " ") for block in FENCED.findall(text)]
    spans = [span.replace("\n", " ") for span in SPAN.findall(FENCED.sub("", text))]
    return [line for block in blocks for line in block.splitlines()] + spans


def lines_of_edgehost(page: str) -> Iterator[tuple[str, list[str]]]:
    """The words behind each ``edgehost`` that begins a command."""
    for line in code_of(page):
        for found in re.finditer(r"(?:^|\$ |[|;&(] ?|sudo |bin/)edgehost ((?![=.:]).*)", line):
            words = END.split(found[1])[0]
            try:
                yield line, shlex.split(words)
            except ValueError:
                yield line, words.split()


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name)
    importlib.import_module(f"edgehost.cli.{name.replace('-', '_')}").add_arguments(parser)
    return parser


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: verb
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, verb in action.choices.items()
    }


def unknown_words(words: list[str]) -> list[str]:
    """The words of a command line that its parser does not know: commands, verbs, options."""
    words = list(words)
    while words and words[0].startswith("-"):
        del words[: 2 if words[0] in {"-c", "--config-file"} else 1]
    if not words or not WORD.fullmatch(words[0]):
        return []
    if words[0] not in COMMANDS:
        return words[:1]
    parser = parser_of(words.pop(0))
    while (verbs := verbs_of(parser)) and words and WORD.fullmatch(words[0]):
        if words[0] not in verbs:
            return words[:1]
        parser = verbs[words.pop(0)]
    options = [found[0] for word in words if (found := OPTION.match(word.lstrip("[")))]
    known = COMMON | set(parser._option_string_actions)
    return [option for option in options if option not in known]


def is_there(path: str) -> bool:
    """Whether it is a file, a folder, a pattern that meets one, or a module with or without a name in it."""
    module = path.rsplit(".", 1)[0]
    return any(any(ROOT.glob(each)) for each in (path.rstrip("/"), f"{path}.py", f"{module}.py"))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = {path for code in code_of(page) for path in PATH.findall(code) if not TOPIC.match(path)}
    assert [path for path in sorted(named - {MADE}) if not is_there(path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_takes_what_is_written_behind_it(page: str) -> None:
    lines = [(line, words) for line, words in lines_of_edgehost(page) if not set(words[:1]) & SIGNED_AS]
    assert [(line, unknown) for line, words in lines if (unknown := unknown_words(words))] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_a_page_names_is_there(page: str) -> None:
    beside = (ROOT / page).with_name("Makefile")
    makefile = beside if beside.exists() else ROOT / "Makefile"
    targets = set(RULE.findall(makefile.read_text()))
    named = {target for code in code_of(page) for target in TARGET.findall(code)}
    assert named <= targets


def test_every_command_that_a_message_or_a_help_text_names_takes_what_is_written_behind_it() -> None:
    seen, wrong = 0, []
    for file in sorted(each for room in ("edgehost", "remotes") for each in (ROOT / room).rglob("*.py")):
        text = SPLIT_TEXT.sub("", file.read_text())
        for line in HINT.findall(text) + EXAMPLE.findall(text):
            seen += 1
            if unknown := unknown_words(line.split()):
                wrong.append((file.name, line, unknown))
    assert wrong == []
    assert seen >= LEAST_MESSAGES
