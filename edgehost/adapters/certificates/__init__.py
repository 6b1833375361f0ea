"""Certificates of this host: who signs them, how they are checked, and where their pairs lie."""
