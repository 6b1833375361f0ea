"""Systems that are shown a host and its devices."""
