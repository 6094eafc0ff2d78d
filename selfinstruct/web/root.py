"""The folder of runs that the service shows, and the runs in it by name."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, SelfInstructError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.counts import Counts, count
from selfinstruct.decisions.overrides import overrides_path
from selfinstruct.decisions.view import read_view
from selfinstruct.store import Run, open_run, run_exists
from selfinstruct.store.commits import SUPPLEMENTS
from selfinstruct.web.errors import NotFoundError

# A running process updates its status every few seconds, but not while it reads a long prompt.
STALE_SECONDS = 600
# Allowed names of new runs; an existing run may have any name.
_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line of the list of runs; `damage` says why the other values are missing.

    `state` is `running`, `stopped`, `failed`, `cut off` (no update for long) or `unknown`.
    `tasks` counts the run as it stands; `recorded_tasks` counts its rounds, as the target does;
    `accepted` counts the instructions that the rules accepted, `candidates` all.
    """

    name: str
    model: str = ""
    created: str = ""
    state: str = "unknown"
    reason: str | None = None
    tasks: int = 0
    recorded_tasks: int = 0
    accepted: int = 0
    target: int = 0
    candidates: int = 0
    rounds: int = 0
    tokens: int = 0
    seconds: float = 0.0
    damage: str | None = None

    @property
    def share_of_target(self) -> float:
        """How much of the target the rounds have reached."""
        return min(1.0, self.recorded_tasks / self.target) if self.target else 0.0

    @property
    def task_yield(self) -> float | None:
        """Instructions that the rules accepted per candidate."""
        return self.accepted / self.candidates if self.candidates else None


def run_path(root: Path, name: str) -> Path:
    """Return the folder of a run by its name: always a folder directly in the root.

    Raises:
        NotFoundError: it is not a name, or leads out of the root.
    """
    odd = not name or len(name) > 255 or name.startswith(".") or "/" in name or "\\" in name
    if odd or not name.isprintable():
        raise NotFoundError(f"{name[:80]!r} is not a name of a run; see the list of runs")
    path = root / name
    if path.resolve().parent != root.resolve():
        raise NotFoundError(f"run {name!r}: leads out of the folder of runs; see the list of runs")
    return path


def new_run_path(root: Path, name: str) -> Path:
    """Return the folder for a new run.

    Raises:
        ConfigError: the name cannot be used, or is taken.
    """
    if not _NEW_NAME.fullmatch(name):
        raise ConfigError(
            f"name {name[:80]!r}: use up to 80 letters, digits, `.`, `_` and `-`, the first a "
            "letter or digit"
        )
    path = root / name
    if path.exists() or path.is_symlink():
        raise ConfigError(f"name {name!r}: is taken; give another")
    return path


def open_named(root: Path, name: str) -> Run:
    """Open a run by its name.

    Raises:
        NotFoundError: there is none.
        StoreError: it is damaged.
    """
    path = run_path(root, name)
    if not run_exists(path):
        raise NotFoundError(f"run {name!r}: there is none here; see the list of runs")
    return open_run(path)


def list_runs(root: Path) -> list[RunLine]:
    """Return every run in the root, the newest first; a damaged one says so."""
    lines = [_line(path) for path in _run_folders(root)]
    return sorted(lines, key=lambda line: (line.created, line.name), reverse=True)


def run_line(run: Run) -> RunLine:
    """Return the line of one run; reads only the rows that supplements or decisions touch.

    Raises:
        StoreError: a file of it is damaged.
    """
    infos = [run.info(number) for number in run.rounds()]
    keys = {"tokens": dict, "seconds": float}
    later = [SUPPLEMENTS.info(run, n, keys) for n in SUPPLEMENTS.numbers(run)]
    counts = _counts(run)
    state, reason = state_of(run.status())
    target = infos[-1]["target"] if infos else run.meta["config"]["stop"]["target"]
    if state == "running":  # a raised target is in the status before it is in a round
        target = run.status().get("target", target)
    return RunLine(
        name=run.name,
        model=run.meta["model"]["name"],
        created=str(run.meta.get("created", "")),
        state=state,
        reason=reason,
        tasks=counts.tasks,
        recorded_tasks=counts.recorded_tasks,
        accepted=counts.judged.instructions[ACCEPTED],
        target=target,
        candidates=counts.candidates,
        rounds=len(infos),
        tokens=sum(info["tokens"]["generated"] for info in [*infos, *later]),
        seconds=sum(info["seconds"] for info in [*infos, *later]),
    )


def _counts(run: Run) -> Counts:
    """Return the counts of a run, cached until a commit or a decision is added."""
    journal = overrides_path(run)
    decided = journal.stat() if journal.exists() else None
    return _counted(
        run.path,
        str(run.meta.get("created")),
        (len(run.rounds()), len(SUPPLEMENTS.numbers(run))),
        (decided.st_size, decided.st_mtime_ns) if decided else None,
    )


@lru_cache(maxsize=256)
def _counted(
    path: Path, _created: str, _committed: tuple[int, int], _decided: tuple[int, int] | None
) -> Counts:
    """Count; the counts change with each commit and each decision, and with nothing else."""
    return count(read_view(open_run(path)))


def state_of(status: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return state and reason; a running run without an update for long was cut off."""
    state, beat = str(status["state"]), status.get("heartbeat")
    if state == "running" and isinstance(beat, int | float) and time.time() - beat > STALE_SECONDS:
        return "cut off", "its process has sent no update for ten minutes; it can be resumed"
    reason = status.get("reason")
    return state, str(reason) if reason else None


def _run_folders(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    for path in root.iterdir():
        inside = not path.name.startswith(".") and path.resolve().parent == root.resolve()
        if inside and run_exists(path):
            yield path


def _line(path: Path) -> RunLine:
    try:
        return run_line(open_run(path))
    except SelfInstructError as error:
        return RunLine(path.name, state="damaged", damage=str(error))
