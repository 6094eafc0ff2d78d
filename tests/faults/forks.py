"""Run something in a fork of this process: nothing is imported anew, and it may be killed."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
LIMIT = 240.0  # seconds; a fork that takes longer hangs


@dataclass(frozen=True)
class Ended:
    """How a fork ended: its exit code, or minus the signal, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.err

    @property
    def message(self) -> str:
        """What the user was told last."""
        return self.err.rpartition("error:")[2].strip() or self.err.strip()[-300:]


def run_in_fork(work: Callable[[], int], log: Path, limit: float = LIMIT) -> Ended:
    """Run `work` in a fork with streams of its own; a fork that hangs is killed.

    Args:
        work: returns the exit code.
        log: folder for the streams.
        limit: seconds after which it hangs.
    """
    log.mkdir(parents=True, exist_ok=True)
    files = [log / name for name in ("out", "err")]
    pid = os.fork()
    if pid == 0:
        _become(work, files)
    end = time.monotonic() + limit
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"a fork hangs: {files[1].read_text()[-2000:]}")
        time.sleep(0.002)
    out, err = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    return Ended(os.waitstatus_to_exitcode(status), out, err)


def _become(work: Callable[[], int], files: list[Path]) -> None:
    code = 1
    gc.freeze()  # what is here already is no garbage of the fork's
    # The config is read again and again: by libyaml it takes a tenth of the time.
    yaml.safe_load = lambda text: yaml.load(text, yaml.CSafeLoader)
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for place, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), place)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # as Python does with it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def value_of_fork(work: Callable[[], T], log: Path) -> T:
    """Return what `work` returns in a fork.

    Raises:
        AssertionError: it failed there.
    """
    kept = log / "value"
    kept.unlink(missing_ok=True)

    def keep() -> int:
        kept.write_bytes(pickle.dumps(work()))
        return 0

    ended = run_in_fork(keep, log)
    if ended.code != 0:
        raise AssertionError(f"exit code {ended.code}: {ended.err[-3000:]}")
    value: Any = pickle.loads(kept.read_bytes())
    return value  # type: ignore[no-any-return]
