"""``make bench``: every benchmark in turn, one table, and bench/results.json.

Figures are of the machine that ran them; ratios are of two things measured in one run. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, Final

BENCHES: Final = (
    "sandbox_bench",
    "storage_bench",
    "query_bench",
    "remote_bench",
    "transport_bench",
    "api_bench",
    "traffic_bench",
    "flow_bench",
    "host_bench",
    "rollout_bench",
    "flash_bench",
    "device_bench",
    "bridge_bench",
)
RESULTS: Final = Path(__file__).with_name("results.json")
_SHOWN: Final = ("name", "value", "unit")


def main() -> int:
    """Run what was asked for; a benchmark that breaks is told and makes the exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", default=BENCHES, help=f"any of {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; figures are rougher")
    args = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "rows": []}
    broken = []
    for name in args.benches:
        print(f"\n{name}", flush=True)
        began = time.perf_counter()
        try:
            rows = importlib.import_module(f"bench.{name}").run(quick=args.quick)
        except Exception as error:  # noqa: BLE001 - the others are worth their figures
            broken.append(name)
            print(f"  BROKEN: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        for row in rows:
            results["rows"].append({"bench": name, **row})
            print(f"  {line_of(row)}", flush=True)
        print(f"  ({time.perf_counter() - began:.0f} s)")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nWrote {RESULTS.name}." + (f" Broken: {', '.join(broken)}." if broken else ""))
    return 1 if broken else 0


def machine() -> dict[str, Any]:
    """What the figures are of."""
    return {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_1m": os.getloadavg()[0],
    }


def line_of(row: dict[str, Any]) -> str:
    """One row for people: name, value, unit, and whatever else it says."""
    value = row["value"]
    number = f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"
    more = ", ".join(f"{key} {value}" for key, value in row.items() if key not in _SHOWN)
    return f"{row['name']:<58} {number:>12} {row['unit']:<10}{more}"


if __name__ == "__main__":
    raise SystemExit(main())
