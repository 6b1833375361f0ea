#!/usr/bin/env bash
# Zig to build/greeter.wasm, with the ziglang package of PyPI; `edgehost build` makes the component.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
"${PYTHON:-python3}" -m ziglang build-exe -target wasm32-freestanding -mcpu=mvp -OReleaseSmall -fstrip \
  -fno-entry -rdynamic --stack 32768 --dep edgehost -Mroot=greeter.zig -Medgehost=../guest/zig/edgehost.zig \
  -femit-bin=build/greeter.wasm
