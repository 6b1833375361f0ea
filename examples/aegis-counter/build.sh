#!/usr/bin/env bash
# AssemblyScript to build/counter.wasm, with the assemblyscript package of npm; `edgehost build` makes the component.
# The bindings beside it are AssemblyScript's own, for Node.js: the tests compare the two.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
[[ -x node_modules/.bin/asc ]] || npm ci --silent
node_modules/.bin/asc counter.ts -o build/counter.wasm -O3 --exportRuntime --bindings esm
