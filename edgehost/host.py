"""Composition root and supervision: the only file that knows every adapter."""
