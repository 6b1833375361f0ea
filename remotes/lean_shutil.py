"""shutil without the compressors of archives, 0.1 MB and 0.3 MB of libraries; whoever packs one loads them then.

It is imported before whoever imports shutil: argparse for the width of the terminal, Starlette for its forms.
"""

from __future__ import annotations

from remotes.late_modules import late_module

with late_module("bz2"), late_module("lzma"):
    import shutil

__all__ = ["shutil"]
