#!/usr/bin/env bash
# The source of ../telemetry with other flags.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
TELEMETRY_FLAGS="-DTELEMETRY_DISK_PERCENT" TELEMETRY_OUT="$PWD/build/telemetry.wasm" ../telemetry/build.sh
