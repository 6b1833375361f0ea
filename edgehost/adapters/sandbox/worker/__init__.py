"""A guest inside its sandbox: wasm3 and the way to the agent, on the standard library alone."""
