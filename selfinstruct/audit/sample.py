"""Draw a stratified sample of a run's candidates, for a person to rate.

A stratum has the candidates of one table with one outcome: `accepted`, or a reason. Each stratum
is sorted by a hash of seed and id, and the first candidates are drawn: a simple random sample
without replacement. A larger sample contains the smaller one. After the run has grown, a new sample
repeats much of the old one, so that its ratings still count.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.audit.tables import check_table, fetch_all, judged
from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.decide import now
from selfinstruct.decisions.lookup import find_all
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run
from selfinstruct.store.layout import SAMPLES
from selfinstruct.store.recorded import check_version
from selfinstruct.store.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class Stratum:
    """Candidates of one table and outcome: their number, and the drawn ones."""

    table: str
    outcome: str
    size: int
    drawn: Sequence[str]

    @property
    def weight(self) -> float:
        """Number of candidates that each drawn one represents: size / drawn."""
        return self.size / len(self.drawn) if self.drawn else 0.0


@dataclass(frozen=True)
class Sample:
    """A list of strata, as in samples/00000.json.

    number: of the sample. rounds: number of rounds of the run then. at: time, UTC.
    """

    number: int
    seed: int
    per_reason: int
    rounds: int
    at: str
    strata: Sequence[Stratum]

    @property
    def ids(self) -> list[str]:
        """All drawn ids."""
        return [id for stratum in self.strata for id in stratum.drawn]


@dataclass(frozen=True, slots=True)
class BlindText:
    """What a rater sees: texts without score or verdict. input, output: of an instance."""

    id: str
    table: str
    instruction: str
    input: str | None = None
    output: str | None = None


def draw_strata(
    population: Mapping[tuple[str, str], Sequence[str]], per_reason: int, seed: int
) -> list[Stratum]:
    """Draw from each (table, outcome) of a population of ids."""
    return [
        Stratum(table, outcome, len(ids), heapq.nsmallest(per_reason, ids, key=_hash_with(seed)))
        for (table, outcome), ids in population.items()
        if ids
    ]


def draw_sample(
    run: Run, per_reason: int = 50, seed: int = 0, tables: Sequence[str] = ("instructions",)
) -> Sample:
    """Draw a sample of a run and write it into the run, as samples/NUMBER.json.

    Raises:
        ConfigError: the run holds no candidate, or `per_reason` is below 1.
        WriteError: the disk refuses.
    """
    if per_reason < 1:
        raise ConfigError(f"--per-reason {per_reason}: draw at least 1")
    population = {
        (table, outcome): ids
        for table in tables
        for outcome, ids in ids_by_outcome(run, table).items()
    }
    if not population:
        raise ConfigError(f"{run.path}: holds no candidate to rate yet; generate some first")
    folder = run.path / SAMPLES
    number = max(_numbers(folder), default=-1) + 1
    strata = draw_strata(population, per_reason, seed)
    sample = Sample(number, seed, per_reason, len(run.rounds()), now(), strata)
    with refusal(folder):
        folder.mkdir(exist_ok=True)
        rows = [{**asdict(one), "weight": one.weight} for one in strata]
        content = {"schema_version": SCHEMA_VERSION, **asdict(sample), "strata": rows}
        atomic.write_json(sample_path(run, number), content)
    return sample


def ids_by_outcome(run: Run, table: str) -> dict[str, list[str]]:
    """Return the ids of a table by `accepted` or reason, as judged, in a fixed order.

    Raises:
        StoreError: a file of the run is damaged.
    """
    check_table(table)
    if not run.rounds():
        return {}
    query = (
        "SELECT coalesce(reason, verdict), list(id ORDER BY round, file_row_number) "
        f"FROM {judged(run, table)} GROUP BY 1"
    )
    by_outcome = dict(fetch_all(run, query))
    order = [ACCEPTED, *reasons()]
    return {str(outcome): by_outcome[outcome] for outcome in sorted(by_outcome, key=order.index)}


def newest_sample(run: Run) -> Sample | None:
    """Return the last sample that was drawn; only this one counts.

    Raises:
        StoreError: it is damaged.
    """
    numbers = _numbers(run.path / SAMPLES)
    return read_sample(run, max(numbers)) if numbers else None


def read_sample(run: Run, number: int) -> Sample:
    """Return one sample.

    Raises:
        StoreError: it is damaged, or newer than this code.
    """
    path = sample_path(run, number)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        check_version(data, path)
        strata = [_stratum(one) for one in data["strata"]]
        keys = ("seed", "per_reason", "rounds")
        seed, per_reason, rounds = (int(data[key]) for key in keys)
        return Sample(number, seed, per_reason, rounds, str(data["at"]), strata)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: is damaged ({why(error)}); draw another sample, the ratings stay"
        ) from error


def sample_path(run: Run, number: int) -> Path:
    return run.path / SAMPLES / f"{number:05d}.json"


def sample_numbers(run: Run) -> list[int]:
    """Return the numbers of all samples."""
    return _numbers(run.path / SAMPLES)


def rating_order(sample: Sample, rater: str) -> list[str]:
    """Return the ids of a sample in the order in which a rater sees them: all strata mixed."""
    return sorted(sample.ids, key=_hash_with(f"{sample.seed}|{rater}"))


def blind_texts(run: Run, ids: Sequence[str]) -> list[BlindText]:
    """Return what a rater sees of these candidates, in their order.

    Raises:
        ConfigError: the run has no candidate of that id.
        StoreError: a file of the run is damaged.
    """
    candidates = find_all(run, ids)
    texts = []
    for id in ids:
        if id not in candidates:
            raise ConfigError(f"{id}: {run.path} has no such candidate; draw another sample")
        task, instance = candidates[id].instruction.text, candidates[id].instance
        if instance is None:
            texts.append(BlindText(id, "instructions", task))
        else:
            texts.append(BlindText(id, "instances", task, instance.input, instance.output))
    return texts


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    names = (path.stem for path in folder.iterdir() if path.suffix == ".json")
    return sorted(int(name) for name in names if name.isdigit())


def _stratum(data: Mapping[str, Any]) -> Stratum:
    drawn = [str(id) for id in data["drawn"]]
    return Stratum(str(data["table"]), str(data["outcome"]), int(data["size"]), drawn)


def _hash_with(salt: object) -> Callable[[str], bytes]:
    """Return a hash that sorts ids in a random but repeatable order."""
    return lambda name: hashlib.blake2b(f"{salt}|{name}".encode(), digest_size=16).digest()
