"""edgehost: the federation host for the edge."""

#: Said here, where the build reads it too, rather than asked of the installed package, whose reader costs a host 1 MB.
__version__ = "0.1.0"
