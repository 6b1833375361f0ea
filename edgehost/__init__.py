"""edgehost: the federation host for the edge."""
