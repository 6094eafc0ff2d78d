"""The process between the service and a job: it outlives the one, and tells how the other ended.

`python -m selfinstruct.web.supervise FOLDER COMMAND...` runs the command with its output in
FOLDER/log.txt and writes FOLDER/exit.json when it ends. SIGTERM is handed on; a command that
does not end by it within a minute is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from selfinstruct.store import atomic

EXIT_FILE, LOG_FILE = "exit.json", "log.txt"
_GRACE_SECONDS = 60


def supervise(folder: Path, command: list[str]) -> None:
    """Run a command to its end, and write down how it ended."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    with (folder / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    code = None
    passed_on = False
    deadline = float("inf")
    while code is None:
        if asked and not passed_on:
            passed_on, deadline = True, time.monotonic() + _GRACE_SECONDS
            child.terminate()
        if time.monotonic() > deadline:
            os.killpg(child.pid, signal.SIGKILL)
        try:
            code = child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    atomic.write_json(folder / EXIT_FILE, {"code": code, "ended": time.time()})


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2:])
