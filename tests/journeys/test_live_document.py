"""Whatever the live document allows is asked of a real host, and much that it does not allow."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.api_fleet import served_kiosk

#: The run ends by itself well within.
MOST_S = 150
#: What a document cannot say, by the statuses that answer it.
CONFIG = """
# 412: the ETag is not that of the record; a document knows no ETags.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 429, "5xx"]

# 412: the ETag is looked at before the body.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]

# 400: whole numbers beyond 64 bits, where any other JSON goes.
[[operations]]
include-path-regex = "(/commands/|/ports/|/api/kiosk)"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 412, 429, "5xx"]

# 400: which options of a list go together, and which cursors are the host's own.
[[operations]]
include-method = "GET"
include-path-regex = "/models/kiosks(/\\\\{id\\\\}(/relations/.*)?)?$"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 412, 429, "5xx"]
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_schemathesis_finds_nothing_wrong_with_the_live_document(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    async with served_kiosk(tmp_path) as (_, host, _):
        url = f"{host.host.served_at.url}/api/openapi.json"
        ran = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", url),
                *("--seed", "1", "--generation-deterministic", "--max-examples", "15"),
                *("--request-timeout", "10", "--max-failures", "20"),
                *("--exclude-path", "/api/events"),  # a stream without an end
                *("--exclude-path", "/api/models/kiosks/bulk"),  # lines of JSON are none of its serializers
            ],
            cwd=tmp_path,
            env=os.environ | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2000:]
