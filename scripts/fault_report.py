"""Inject every kind of fault, and write what was lost and what the user saw.

    python scripts/fault_report.py              # all of it: docs/reliability.json and .md
    python scripts/fault_report.py --part kills --every 5 --out /tmp/found.json

Kills, power cuts and refusals of the disk strike every command that writes, at its file
operations; then the command is run again, and has to end as it would have ended undisturbed.
Damages strike finished runs. Hostile completions, faulty engines, and several writers and readers
at once are the other parts. Exit code 1 says that something was lost, silent or a traceback.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults.measure import PARTS, Found, Size  # noqa: E402

REPORT = ROOT / "docs" / "reliability.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=[*PARTS], action="append", help="only this part")
    parser.add_argument("--every", type=int, default=1, help="strike at every n-th operation")
    parser.add_argument("--damages", type=int, default=1_000)
    parser.add_argument("--completions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="only this command")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    logging.getLogger("selfinstruct").setLevel(logging.ERROR)  # thousands of completions are odd
    size = Size(given.every, given.damages, given.completions, given.seed, given.only)
    report = json.loads(given.out.read_text()) if given.part and given.out.exists() else {}
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        for name in given.part or PARTS:
            started = time.monotonic()
            found = PARTS[name](folder, size, Progress(name))
            report.setdefault("parts", {})[name] = found.as_json()
            report["machine"] = machine()
            report["parts"][name]["seconds"] = round(time.monotonic() - started)
            given.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
            tell(name, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.out == REPORT:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "make_docs.py")], check=True)
    bad = sum(part["bad_count"] for part in report["parts"].values())
    return int(bad > 0)


class Progress:
    """Prints how many of how many are done, and when all will be."""

    def __init__(self, name: str) -> None:
        self.name, self.started, self.last = name, time.monotonic(), 0.0

    def __call__(self, done: int, of: int, what: str) -> None:
        now = time.monotonic()
        if now - self.last < 5 and done < of:
            return
        self.last = now
        left = (now - self.started) / max(done, 1) * (of - done)
        print(f"{self.name}: {done} of {of}, {left / 60:.1f} min left ({what})", file=sys.stderr)


def machine() -> str:
    import os

    python = platform.python_version()
    return f"{os.cpu_count()} CPU cores, {platform.system()}, Python {python}"


def tell(name: str, found: Found) -> None:
    print(f"{name}: {found.total()}", file=sys.stderr)
    for line in found.bad[:40]:
        print(f"  {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
