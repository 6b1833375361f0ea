"""The README's feature table: every promise has its test, and every link leads somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<how>[^|]+) \| \[`(?P<test>\w+)`\]\((?P<file>[\w/.]+)\) \|$")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))
#: The rows of AEGIS's lists of highlights and details that are not about mesh, cluster, serverless, TLS or MLOps.
LEAST_ROWS = 30


def features() -> list[re.Match[str]]:
    section = (ROOT / "README.md").read_text().split("\n## Features\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [require_row(row) for row in rows[2:]]


def require_row(row: str) -> re.Match[str]:
    found = ROW.match(row)
    assert found, f"a row names a promise, how it is kept, and its test: {row}"
    return found


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_feature_names_a_test_that_exists() -> None:
    rows = features()
    assert len(rows) >= LEAST_ROWS
    for row in rows:
        tree = ast.parse((ROOT / row["file"]).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert row["test"] in names, f"{row['promise']}: {row['file']} has no {row['test']}"


def test_what_is_not_there_yet_is_said() -> None:
    section = (ROOT / "README.md").read_text().split("\nNot there yet:")[1].split("\n\n")[0]
    for word in ("mesh", "cluster", "serverless", "TLS", "MLOps", "AIOps"):
        assert word in section


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    file = ROOT / page
    for path, anchor in LINK.findall(file.read_text()):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{page}: {path}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{page}: {path}#{anchor}"
