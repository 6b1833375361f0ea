"""What the host needs of the world, as small Protocols."""
