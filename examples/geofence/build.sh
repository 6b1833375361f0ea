#!/usr/bin/env bash
# AssemblyScript to build/geofence.wasm, with the assemblyscript package of npm; `edgehost build` makes the component.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
[[ -x node_modules/.bin/asc ]] || npm ci --silent
node_modules/.bin/asc geofence.ts -o build/geofence.wasm -O3z --noAssert --use abort= \
  --disable bulk-memory,sign-extension,nontrapping-f2i
