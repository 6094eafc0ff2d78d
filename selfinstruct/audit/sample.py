"""Draw a stratified sample of a run's candidates, for a person to rate.

A stratum is what became of a candidate: `accepted`, or a reason, of one table. In each the
candidates come in the order of a hash of seed and id, and the first ones are drawn: a simple
random sample without replacement. A larger sample holds the smaller one, and when the run
has grown a new sample repeats much of the old, so that ratings go on counting.
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
from selfinstruct.common.errors import ConfigError, StoreError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.decide import now
from selfinstruct.decisions.lookup import find_all
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run
from selfinstruct.store.layout import SAMPLES
from selfinstruct.store.run import check_version
from selfinstruct.store.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class Stratum:
    """Candidates of one table and outcome: how many there are, and which were drawn."""

    table: str
    outcome: str
    size: int
    drawn: Sequence[str]

    @property
    def weight(self) -> float:
        """Candidates that each one drawn stands for: size / drawn."""
        return self.size / len(self.drawn) if self.drawn else 0.0


@dataclass(frozen=True)
class Sample:
    """A row of strata, as samples/00000.json has them.

    number: of the sample. rounds: how many the run had. at: when, UTC.
    """

    number: int
    seed: int
    per_reason: int
    rounds: int
    at: str
    strata: Sequence[Stratum]

    @property
    def ids(self) -> list[str]:
        """Every id that was drawn."""
        return [id for stratum in self.strata for id in stratum.drawn]


@dataclass(frozen=True, slots=True)
class BlindText:
    """What a rater sees: texts alone, no score and no verdict. input, output: of an instance."""

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
    """Return the ids of a table by `accepted` or reason, as judged; the same order always.

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
    found = dict(fetch_all(run, query))
    order = [ACCEPTED, *reasons()]
    return {str(outcome): found[outcome] for outcome in sorted(found, key=order.index)}


def newest_sample(run: Run) -> Sample | None:
    """Return the sample that counts: the last one that was drawn.

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
            f"{path}: is damaged ({type(error).__name__}: {error}); draw another sample, the "
            "ratings stay"
        ) from error


def sample_path(run: Run, number: int) -> Path:
    return run.path / SAMPLES / f"{number:05d}.json"


def sample_numbers(run: Run) -> list[int]:
    """Return the numbers of the samples that were drawn."""
    return _numbers(run.path / SAMPLES)


def rating_order(sample: Sample, rater: str) -> list[str]:
    """Return the ids of a sample in the order in which a rater sees them: all strata mixed."""
    return sorted(sample.ids, key=_hash_with(f"{sample.seed}|{rater}"))


def blind_texts(run: Run, ids: Sequence[str]) -> list[BlindText]:
    """Return what a rater sees of candidates, in the order of the ids.

    Raises:
        ConfigError: the run has no candidate of that id.
        StoreError: a file of the run is damaged.
    """
    found = find_all(run, ids)
    texts = []
    for id in ids:
        if id not in found:
            raise ConfigError(f"{id}: {run.path} has no such candidate; draw another sample")
        task, instance = found[id].instruction.text, found[id].instance
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
    """Return what orders ids as good as at random, and always alike."""
    return lambda name: hashlib.blake2b(f"{salt}|{name}".encode(), digest_size=16).digest()
