"""The verbs of the host, one file each."""
