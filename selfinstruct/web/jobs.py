"""Commands that run beside the service, each in its own process and folder.

ROOT/.jobs/20260102-030405-6789ab/
job.json    what was started, when, and by which process; written once
log.txt     what the command printed
stop.json   present once somebody asked it to stop
exit.json   its exit code (supervise.py)

A job's folder has everything about it, so a restarted service finds its jobs again. A run's own
status.json has its progress.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.web.errors import BusyError, NotFoundError
from selfinstruct.web.supervise import EXIT_FILE, LOG_FILE, STOP_FILE

FOLDER = ".jobs"
_JOB_FILE = "job.json"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_LAST_LINES = 12
_TAIL_BYTES = 16_384
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Job:
    """A command that was started; `why` has its last lines if it failed.

    `state` is `running`, `stopping`, `done`, `stopped`, `failed`, or `lost`: its process is
    gone without an exit code.
    """

    id: str
    kind: str
    run: str
    command: Sequence[str]
    created: float
    state: str
    ended: float | None = None
    exit_code: int | None = None
    why: str | None = None

    @property
    def going(self) -> bool:
        return self.state in {"running", "stopping"}


class Jobs:
    """The jobs of a root.

    Args:
        root: the folder of runs.
        program: how this program is called.
    """

    def __init__(
        self, root: Path, program: Sequence[str] = (sys.executable, "-m", "selfinstruct")
    ) -> None:
        self._folder = root / FOLDER
        self._program = list(program)
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        kind: str,
        run: str,
        arguments: Callable[[Path], Sequence[str]],
        *,
        loads_model: bool,
        files: Mapping[str, str] | None = None,
    ) -> Job:
        """Start a command of this program.

        Args:
            kind: its job in one word.
            run: name of the run that it writes.
            arguments: returns the command line's arguments, from the job's folder.
            loads_model: whether it needs the device; only one such job runs at a time.
            files: texts to put into the job's folder first, by name.

        Raises:
            BusyError: another job writes this run or holds a model.
        """
        with self._lock:
            self._refuse_while_busy(run, loads_model)
            id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            folder = (self._folder / id).absolute()
            folder.mkdir(parents=True)
            for name, text in (files or {}).items():
                (folder / name).write_text(text, encoding="utf-8")
            command = arguments(folder)
            supervisor = [sys.executable, "-m", "selfinstruct.web.supervise", str(folder)]
            child = subprocess.Popen(
                [*supervisor, *self._program, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            self._children.append(child)
            described = {
                "id": id,
                "kind": kind,
                "run": run,
                "command": ["selfinstruct", *command],
                "created": time.time(),
                "loads_model": loads_model,
                "pid": child.pid,
                "started": _started(child.pid),
            }
            atomic.write_json(folder / _JOB_FILE, described)
        return self.get(id)

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return [self.get(id) for id in self._ids()]

    def get(self, id: str) -> Job:
        """Return a job as it is now.

        Raises:
            NotFoundError: there is none of that id.
        """
        said = self._read(id, _JOB_FILE)
        stop_asked = self._read(id, STOP_FILE) is not None
        for child in self._children:  # an ended process stays a zombie until its status is read
            child.poll()
        if said is None:
            raise NotFoundError(f"job {id[:40]!r}: there is none; see the list of jobs")
        alive = said["started"] is not None and _started(said["pid"]) == said["started"]
        ended = self._read(
            id, EXIT_FILE
        )  # read after the check of the process, which writes it last
        code = ended["code"] if ended else None
        if ended is None:
            state = ("stopping" if stop_asked else "running") if alive else "lost"
        elif code == 0:
            state = "done"
        else:
            state = "stopped" if stop_asked or code == _INTERRUPTED else "failed"
        why = None
        if state == "failed":
            why = last_words(self.log(id)) or f"exit code {code}"
        if state == "lost":
            killed = "its process was killed, or the machine restarted"
            why = f"{last_words(self.log(id))}\n{killed}".lstrip()
        return Job(
            id=said["id"],
            kind=said["kind"],
            run=said["run"],
            command=said["command"],
            created=said["created"],
            state=state,
            ended=ended["ended"] if ended else None,
            exit_code=code,
            why=why,
        )

    def log(self, id: str) -> str:
        """Return the end of what a job printed.

        Raises:
            NotFoundError: there is none of that id.
        """
        if not _ID.fullmatch(id) or not (self._folder / id).is_dir():
            raise NotFoundError(f"job {id[:40]!r}: there is none; see the list of jobs")
        try:
            with (self._folder / id / LOG_FILE).open("rb") as handle:
                handle.seek(0, os.SEEK_END)
                start = max(0, handle.tell() - _TAIL_BYTES)
                handle.seek(start)
                text = handle.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return text if not start else text.partition("\n")[2]

    def stop(self, id: str) -> Job:
        """Ask a job to stop, like Ctrl-C; its commits stay.

        Raises:
            NotFoundError: there is none of that id.
        """
        if self.get(id).state == "running":
            atomic.write_json(self._folder / id / STOP_FILE, {"asked": time.time()})
        return self.get(id)

    def of_run(self, run: str) -> Job | None:
        """Return the newest job of a run."""
        for id in self._ids():
            if (self._read(id, _JOB_FILE) or {}).get("run") == run:
                return self.get(id)
        return None

    def _ids(self) -> list[str]:
        """Return the ids of all jobs, the newest first."""
        ids = (path.parent.name for path in self._folder.glob(f"*/{_JOB_FILE}"))
        return sorted((id for id in ids if _ID.fullmatch(id)), reverse=True)

    def _refuse_while_busy(self, run: str, loads_model: bool) -> None:
        for job in self.all():
            if not job.going:
                continue
            if job.run == run:
                raise BusyError(
                    f"run {run!r}: job {job.id} ({job.kind}) writes it; wait, or stop it"
                )
            said = self._read(job.id, _JOB_FILE) or {}
            if loads_model and said.get("loads_model"):
                raise BusyError(
                    f"job {job.id} ({job.kind} of {job.run!r}) holds a model; wait, or stop it"
                )

    def _read(self, id: str, name: str) -> Any:
        if not _ID.fullmatch(id):
            return None
        try:
            return json.loads((self._folder / id / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None


def last_words(log: str) -> str:
    """Return the error at the end of a command's output, or else its last lines."""
    lines = log.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error:")]
    return "\n".join(lines[errors[-1] :] if errors else lines[-_LAST_LINES:])


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since boot; None for one that is gone.

    It tells our process from a later one with the same pid. A zombie counts as gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
