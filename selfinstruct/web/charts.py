"""The distributions that a run's page draws, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from selfinstruct.audit.histograms import Histogram, histogram, seed_similarity
from selfinstruct.audit.search import Filter
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import SUPPLEMENTS

# Bins of a length. The page cuts off the few longest texts, and draws the other bins wider.
_LENGTHS = 120


@dataclass(frozen=True)
class Charts:
    """Yield by round, and a histogram of each measure, of one run."""

    yields: Sequence[float]
    rouge_l: Histogram
    instruction_logprob: Histogram
    output_logprob: Histogram
    instruction_words: Histogram
    output_words: Histogram
    seed_similarity: Histogram


def charts_of(run: Run) -> Charts:
    """Count what the page of a run draws, or return the cached counts.

    Raises:
        StoreError: a file of the run is damaged.
    """
    committed = (len(run.rounds()), len(SUPPLEMENTS.numbers(run)))
    return _counted(run.path, str(run.meta.get("created")), committed)


@lru_cache(maxsize=16)
def _counted(path: Path, _created: str, _committed: tuple[int, int]) -> Charts:
    """Count; the distributions change with each commit, and with nothing else."""
    run = open_run(path)
    outputs = Filter(table="instances")
    return Charts(
        yields=[run.info(number)["yield"] for number in run.rounds()],
        rouge_l=histogram(run, "rouge_l"),
        instruction_logprob=histogram(run, "mean_logprob"),
        output_logprob=histogram(run, "mean_logprob", outputs),
        instruction_words=histogram(run, "words", bins=_LENGTHS),
        output_words=histogram(run, "words", outputs, bins=_LENGTHS),
        seed_similarity=seed_similarity(run),
    )
