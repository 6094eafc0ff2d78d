"""The command line: one file per command. `main` is the entry point."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code (0, 1, 2, 3, 4, 130)."""
    from selfinstruct.cli.app import run

    sys.exit(run(sys.argv[1:]))
