"""What ``make bench`` says of the disk: a deployment's writes, beside the budget of twice its size."""

from __future__ import annotations

from pathlib import Path

from bench.deployment_writes import SIZES, deployment_writes

#: Ledger, metadata, the deployment and its reports.
SMALL_FILES_BYTES = 40_000


async def test_the_bench_says_what_a_deployment_writes_beside_its_budget(tmp_path: Path) -> None:
    rows = await deployment_writes(tmp_path, 1)
    own = [row for row in rows if row["name"].endswith("by the host's count")]
    assert [row["budget_bytes"] for row in own] == [2 * size for size in SIZES.values()]
    for row, size in zip(own, SIZES.values(), strict=True):
        assert row["unit"] == "bytes"
        assert size < row["value"] < row["budget_bytes"] + SMALL_FILES_BYTES
