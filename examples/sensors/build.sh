#!/usr/bin/env bash
# Rust to build/sensors.wasm, with Debian's rustc and libstd-rust-dev-wasm32; `edgehost build` makes the component.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build
"${RUSTC:-/usr/bin/rustc}" --target wasm32-unknown-unknown --edition 2021 --crate-type cdylib --crate-name sensors \
  -D warnings -C opt-level=s -C lto -C codegen-units=1 -C panic=abort -C strip=symbols -C target-cpu=mvp \
  -C link-arg=-zstack-size=32768 -o build/sensors.wasm sensors.rs
