"""The process between the service and a job: it outlives the service, and records the job's end.

`python -m selfinstruct.web.supervise FOLDER COMMAND...` runs the command with its output in
FOLDER/log.txt and writes FOLDER/exit.json when it ends. Once FOLDER/stop.json
exists, it sends the command SIGTERM, and kills it a minute later if it still runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from selfinstruct.common import atomic

EXIT_FILE, LOG_FILE, STOP_FILE = "exit.json", "log.txt", "stop.json"
_GRACE_SECONDS = 60.0
_LOOK_SECONDS = 0.2


def supervise(folder: Path, command: list[str]) -> None:
    """Run a command to its end, and record its exit code."""
    with (folder / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    asked: float | None = None
    while True:
        try:
            code = child.wait(timeout=_LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            pass
        if asked is None and (folder / STOP_FILE).exists():
            asked = time.monotonic()
            child.terminate()
        elif asked is not None and time.monotonic() > asked + _GRACE_SECONDS:
            os.killpg(child.pid, signal.SIGKILL)
    atomic.write_json(folder / EXIT_FILE, {"code": code, "ended": time.time()})


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2:])
