#!/usr/bin/env bash
# C to build/vehicle.wasm; `edgehost build` makes the component of it.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
"${CLANG:-clang}" --target=wasm32-unknown-unknown -mcpu=mvp -Os -std=c11 -Wall -Wextra -Werror \
  -ffreestanding -fno-builtin -nostdlib -I ../guest/c \
  -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=16384 -Wl,--strip-all \
  -o build/vehicle.wasm vehicle.c
