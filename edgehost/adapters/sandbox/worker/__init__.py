"""What runs inside the zygote and its sandboxes: the standard library, wasm3 and this package, nothing else."""
