"""Check everything in a run that can be damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.audit.sample import read_sample, sample_numbers
from selfinstruct.common.errors import ConfigError, StoreError
from selfinstruct.decisions.labels import read_labels
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.commits import KINDS
from selfinstruct.store.sealed import sha256


@dataclass(frozen=True)
class Verified:
    """The checked rounds and files, and one message for each damage."""

    rounds: int
    files: int
    problems: Sequence[str]


def verify_run(run: Run, advance: Callable[[int], object] = id) -> Verified:
    """Compare every file of every commit with its checksum, and read every journal line.

    Unlike `Run.verify`, it continues after a damage, to name them all.

    Args:
        run: the run.
        advance: called with the number of each checked round.
    """
    problems: list[str] = []
    files = 0
    for read in (stored_config, stored_inputs, Run.calibration):
        with _noted(problems):
            read(run)
    rounds: list[int] = []
    with _noted(problems):
        rounds = run.rounds()
    for number in rounds:
        with _noted(problems):
            files += _check_files(run.round_path(number), run.info(number), problems)
        advance(number)
    for kind in KINDS:
        for number in kind.numbers(run):
            with _noted(problems):
                files += _check_files(kind.path(run, number), kind.info(run, number), problems)
    for journal in (read_overrides, read_labels):
        with _noted(problems):
            problems += [str(line) for line in journal(run).damaged]
    for number in sample_numbers(run):
        with _noted(problems):
            read_sample(run, number)
    return Verified(len(rounds), files, problems)


def _check_files(folder: Path, info: Mapping[str, Any], problems: list[str]) -> int:
    """Report every file that differs; return the number of files."""
    for name, checksum in info["checksums"].items():
        path = folder / name
        try:
            is_whole = sha256(path) == checksum
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}); restore it from a backup")
            continue
        if not is_whole:
            problems.append(
                f"{path}: is not what was committed (checksum); restore it from a backup"
            )
    return len(info["checksums"])


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Add an error to the problems, and continue."""
    try:
        yield
    except (StoreError, ConfigError) as error:
        problems.append(str(error))
