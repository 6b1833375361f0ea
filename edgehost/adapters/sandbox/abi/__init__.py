"""One file per calling convention between host and guest."""
