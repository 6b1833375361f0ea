"""``python -m edgehost`` is the ``edgehost`` command."""

from edgehost.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
