"""Keeping members of records secret: encryption with keys of this host, and hashes."""
