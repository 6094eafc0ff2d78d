"""Several processes at one run at once: writers exclude each other, readers see whole commits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import SelfInstructError
from selfinstruct.common.records import Completion
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.store import open_run
from tests.faults.commands import _inputs, become_scripted, cli, script
from tests.faults.forks import Ended, run_in_fork, value_of_fork

_RESUME = ("generate", "--out", "run", "--resume")


def _slow_engine() -> None:
    """Have each batch of completions take a moment, so that others come in between."""
    from dataclasses import replace

    from selfinstruct.engines import registry
    from selfinstruct.engines.scripted import ScriptedEngine

    class Slow(ScriptedEngine):
        def collect(self) -> list[Completion]:
            time.sleep(0.02)
            return super().collect()

    registry.ENGINES[:] = [
        replace(kind, build=lambda *_: Slow(script, batch=4)) for kind in registry.ENGINES
    ]


def new_run(root: Path, log: Path) -> None:
    """Make a small run in a folder."""

    def work() -> int:
        become_scripted(root)
        _inputs()
        words = ["generate", "--out", "run", "--model", "./model", "--prompting", "base"]
        words += ["--seeds", "seeds.jsonl", "--set", "propose.per_round=2", "--target", "2"]
        return cli(words)

    root.mkdir(parents=True)
    ended = run_in_fork(work, log)
    assert ended.code == 0, ended.err


@contextmanager
def in_background(work: Callable[[], Ended], log: Path) -> Iterator[Callable[[], Ended]]:
    """Do work in a fork meanwhile; yield what waits for its end."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future.result


@dataclass
class Together:
    """What processes at one run saw.

    writers, refused: that wrote, and that were told that another writes. reads: whole ones.
    """

    writers: int = 0
    refused: int = 0
    reads: int = 0
    problems: list[str] = field(default_factory=list)
    told: str = ""


def two_writers(root: Path, log: Path, words: Sequence[str], target: int) -> Together:
    """Start one command twice on one run: one writes, the other is refused or comes later."""
    found = Together()

    def work() -> int:
        become_scripted(root)
        _slow_engine()
        return cli(words or (*_RESUME, "--target", str(target)))

    pids = []
    for n in range(2):
        pid = os.fork()
        if pid == 0:
            os._exit(run_in_fork(work, log / str(n)).code & 0xFF)
        pids.append(pid)
    for n, pid in enumerate(pids):
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        err = (log / str(n) / "err").read_text()
        if code == 0:
            found.writers += 1
        elif code == 2 and "another process" in err:
            found.refused += 1
            found.told = err.rpartition("error:")[2].strip()
        else:
            found.problems.append(f"exit code {code}: {err[-300:]}")
    if not found.writers:
        found.problems.append("nobody wrote")
    return found


def readers_of_a_writer(root: Path, log: Path, target: int, readers: int = 2) -> Together:
    """Let processes read a run again and again while another writes it.

    Each read has to be whole: as many rounds as the read before it or more, with their rows.
    """
    found = Together()
    stop = root / ".stop"

    def write() -> int:
        become_scripted(root)
        _slow_engine()
        return cli((*_RESUME, "--target", str(target)))

    def read() -> tuple[int, list[str]]:
        os.chdir(root)
        reads, rounds, problems, rows = 0, 0, [], 0
        while not stop.exists() or reads == 0:
            try:
                run = open_run(Path("run"))
                run.verify()
                numbers = run.rounds()
                now = len(list(export_rows(run, Answers.OWN)))
            except SelfInstructError as error:
                problems.append(str(error))
                break
            if len(numbers) < rounds or now < rows:
                problems.append(f"{len(numbers)} rounds and {now} rows after {rounds} and {rows}")
            reads, rounds, rows = reads + 1, len(numbers), now
        return reads, problems

    pids = []
    for n in range(readers):
        pid = os.fork()
        if pid == 0:
            _answer(log / f"reader{n}", lambda n=n: value_of_fork(read, log / f"reader{n}"))
        pids.append(pid)
    ended = run_in_fork(write, log / "writer")
    stop.touch()
    for n, pid in enumerate(pids):
        os.waitpid(pid, 0)
        reads, problems = _answered(log / f"reader{n}")
        found.reads += reads
        found.problems += problems
    if ended.code != 0:
        found.problems.append(f"the writer: exit code {ended.code}: {ended.message}")
    found.writers = 1
    return found


def _answer(folder: Path, work: Callable[[], Any]) -> None:
    import json

    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001  # told by the parent
        answer = (0, [repr(error)])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answer").write_text(json.dumps(answer))
    os._exit(0)


def _answered(folder: Path) -> tuple[int, list[str]]:
    import json

    reads, problems = json.loads((folder / "answer").read_text())
    return reads, problems
