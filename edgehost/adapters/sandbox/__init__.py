"""Wasm components in wasm3, each in a locked-down process of its own."""
