"""edgehost: the federation host for the edge."""

from typing import Final

#: Said here rather than asked of the installed package, whose reader costs a host 1 MB.
__version__: Final = "0.1.0"
