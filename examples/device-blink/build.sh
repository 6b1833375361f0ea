#!/usr/bin/env bash
# C to build/device-blink.wasm; `edgehost build` makes the component of it.
# Stack first and small: a board gives a component only the memory that it asks for, not whole pages.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
"${CLANG:-clang}" --target=wasm32-unknown-unknown -mcpu=mvp -Os -std=c11 -Wall -Wextra -Werror \
  -ffreestanding -fno-builtin -nostdlib -I ../guest/c \
  -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=512 -Wl,--export=__heap_base -Wl,--strip-all \
  -o build/device-blink.wasm device-blink.c
