"""Draw a stratified sample of a run's candidates, for a person to rate.

A stratum is what became of a candidate: `accepted`, or a reason, of one table. In each the
candidates come in the order of a hash of seed and id, and the first ones are drawn: a simple
random sample without replacement. A larger sample holds the smaller one, and when the run
has grown a new sample repeats much of the old, so that ratings go on counting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.store import Run


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
    raise NotImplementedError


def draw_sample(
    run: Run, per_reason: int = 50, seed: int = 0, tables: Sequence[str] = ("instructions",)
) -> Sample:
    """Draw a sample of a run and write it into the run, as samples/NUMBER.json.

    Raises:
        ConfigError: the run holds no candidate, or `per_reason` is below 1.
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def newest_sample(run: Run) -> Sample | None:
    """Return the sample that counts: the last one that was drawn.

    Raises:
        StoreError: it is damaged.
    """
    raise NotImplementedError


def rating_order(sample: Sample, rater: str) -> list[str]:
    """Return the ids of a sample in the order in which a rater sees them: all strata mixed."""
    raise NotImplementedError


def blind_texts(run: Run, ids: Sequence[str]) -> list[BlindText]:
    """Return what a rater sees of candidates, in the order of the ids.

    Raises:
        ConfigError: the run has no candidate of that id.
        StoreError: a file of the run is damaged.
    """
    raise NotImplementedError
