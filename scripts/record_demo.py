"""Record what the commands of the README print, as an SVG: `python scripts/record_demo.py`.

Runs them for real, with the bundled model, in a temporary folder.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 96
COMMANDS = (
    "generate --out outputs/first --target 20 --seed 0",
    "audit summary outputs/first",
    "audit list outputs/first --reason not_novel --limit 3",
)


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    # Colours as on a terminal, without what is drawn over while a run goes.
    environment = {
        **os.environ,
        "FORCE_COLOR": "1",
        "TTY_INTERACTIVE": "0",
        "COLUMNS": str(WIDTH - 2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "green"), (f"selfinstruct {command}", "bold")))
            program = "from selfinstruct.cli import main; main()"
            done = subprocess.run(
                [sys.executable, "-c", program, *shlex.split(command)],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            console.print(Text.from_ansi(done.stdout.rstrip()))
            console.print()
    target = ROOT / "docs" / "demo.svg"
    console.save_svg(str(target), title="selfinstruct")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
