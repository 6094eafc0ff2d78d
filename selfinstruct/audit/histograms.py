"""Distributions of the scores of a run's candidates, with the thresholds that judged them."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.audit.search import Filter
from selfinstruct.store import Run


@dataclass(frozen=True)
class Histogram:
    """How many candidates lie in each bin: edge i <= score < edge i + 1 (the last: <=).

    edges: one more than there are bins.
    accepted, rejected: counts by bin.
    unscored: candidates without a score (NaN or null), in no bin.
    thresholds: name of each threshold that was in force at the end of the run, and its value.
    """

    column: str
    edges: list[float]
    accepted: list[int]
    rejected: list[int]
    unscored: int
    thresholds: dict[str, float]


def histogram(run: Run, column: str, wanted: Filter | None = None, bins: int = 40) -> Histogram:
    """Count candidates by a score: `rouge_l`, `mean_logprob`, `num_tokens` or `words`.

    Args:
        run: the run.
        column: the score; `words` counts those of the text, or of the output.
        wanted: which candidates; all instructions by default.
        bins: how many, of equal width; at most so many for whole numbers.

    Raises:
        ConfigError: no such score of that table.
        StoreError: a file of the run is damaged.
    """
    raise NotImplementedError


def seed_similarity(run: Run, limit: int = 2000, bins: int = 20) -> Histogram:
    """Count accepted instructions by ROUGE-L with the seed task that is nearest to each.

    The paper's Figure 5 (arXiv:2212.10560): how far a run has left its seeds.

    Args:
        run: the run.
        limit: accepted instructions to look at, at most; evenly spread over the run.
        bins: how many, over [0, 1].
    """
    raise NotImplementedError
