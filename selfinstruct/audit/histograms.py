"""Distributions of the scores of a run's candidates, with their thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfinstruct.audit.search import Filter, where_clause
from selfinstruct.audit.tables import fetch_all, fetch_columns, judged
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import leaves
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run

_WHOLE = ("num_tokens", "words")
# The number of blanks, plus one. A regular expression takes ten times as long.
_WORDS = "1 + strlen({0}) - strlen(replace({0}, ' ', ''))"
_COLUMNS = {
    "instructions": {
        "rouge_l": "rouge_l",
        "mean_logprob": "mean_logprob",
        "num_tokens": "num_tokens",
        "words": _WORDS.format("text"),
    },
    "instances": {
        "mean_logprob": "mean_logprob",
        "num_tokens": "num_tokens",
        "words": _WORDS.format("replace(trim(output), chr(10), ' ')"),
    },
}
# The longest and least likely candidates would squeeze all others into one bin.
_CUT = 0.995


@dataclass(frozen=True)
class Histogram:
    """How many candidates lie in each bin: edge i <= score < edge i + 1 (the last: <=).

    edges: one more than the bins. The few candidates beyond the 99.5 % quantile of an unbounded
        score are in its last bin.
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


def histogram(run: Run, column: str, filter: Filter | None = None, bins: int = 40) -> Histogram:
    """Count candidates by a score: `rouge_l`, `mean_logprob`, `num_tokens` or `words`.

    Args:
        run: the run.
        column: the score; `words` counts the blanks of the text or output, plus one (two blanks in
            a row count twice).
        filter: which candidates; all instructions by default.
        bins: number of bins of equal width; whole numbers may have fewer.

    Raises:
        ConfigError: no such score of that table.
        StoreError: a file of the run is damaged.
    """
    filter = filter or Filter()
    where, values = where_clause(filter, read_overrides(run))
    known = _COLUMNS[filter.table]
    if column not in known:
        raise ConfigError(
            f"{column}: is not a score of {filter.table}; there are: {', '.join(known)}"
        )
    rounds = [n for n in run.rounds() if filter.round is None or n == filter.round]
    limits = _thresholds(run, column, filter.table)
    if not rounds:
        return Histogram(column, [0.0, 1.0], [0], [0], 0, limits)
    query = (
        f"SELECT coalesce(({known[column]})::DOUBLE, 'NaN') AS score, "
        "verdict = 'accepted' AS is_accepted "
        f"FROM {judged(run, filter.table, rounds)} {where}"
    )
    columns = fetch_columns(run, query, values)
    scores, is_accepted = columns["score"], columns["is_accepted"]
    is_scored = ~np.isnan(scores)
    edges = _edges(column, scores[is_scored], bins)
    inside = np.clip(scores, edges[0], edges[-1])
    accepted = np.histogram(inside[is_scored & is_accepted], edges)[0].tolist()
    rejected = np.histogram(inside[is_scored & ~is_accepted], edges)[0].tolist()
    return Histogram(column, edges, accepted, rejected, int((~is_scored).sum()), limits)


def seed_similarity(run: Run, limit: int = 2000, bins: int = 20) -> Histogram:
    """Count instructions that the rules accepted by ROUGE-L with the nearest seed task of each.

    The paper's Figure 5 (arXiv:2212.10560): the distance of a run from its seeds.

    Args:
        run: the run.
        limit: most accepted instructions to read, evenly spread over the run.
        bins: number of bins over [0, 1].
    """
    texts = _accepted_texts(run, limit)
    edges = [float(edge) for edge in np.linspace(0.0, 1.0, bins + 1)]
    config = stored_config(run)
    index = NoveltyIndex(0.0, config.novelty.tokenizer, config.rules_version)
    index.add_all((seed.pool_id, seed.instruction) for seed in stored_inputs(run).seeds)
    matches = index.nearest_all(texts, floor=0.0)
    scores = [match.score if match else 0.0 for match in matches]
    counts = np.histogram(scores, edges)[0].tolist()
    return Histogram("seed_similarity", edges, counts, [0] * len(counts), 0, {})


def _accepted_texts(run: Run, limit: int) -> list[str]:
    """Return the text of every n-th instruction that the rules accepted."""
    if not run.rounds():
        return []
    query = (
        f"SELECT text FROM {judged(run, 'instructions')} WHERE verdict = 'accepted' "
        "ORDER BY round, file_row_number"
    )
    texts = [str(row[0]) for row in fetch_all(run, query)]
    return texts[:: max(1, -(-len(texts) // limit))]


def _thresholds(run: Run, column: str, table: str) -> dict[str, float]:
    """Return the limits in force at the end of the run, by name."""
    config, rounds = stored_config(run), run.rounds()
    if column == "rouge_l":
        return {"novelty.threshold": config.novelty.threshold}
    if column == "mean_logprob":
        least = run.info(rounds[-1]).get("likelihood", {}) if rounds else {}
        kinds = ("instruction",) if table == "instructions" else ("output", "label")
        known = {kind: least[kind] for kind in kinds if least.get(kind) is not None}
        most = config.likelihood.max_logprob
        return known if most is None else {**known, "likelihood.max_logprob": most}
    if column == "words" and table == "instructions":
        values = {key: value for key, _, value, _ in leaves(config)}
        limits = {key: values[key] for key in ("rules.min_words", "rules.max_words")}
        return {name: float(value) for name, value in limits.items() if value is not None}
    return {}


def _edges(column: str, scores: NDArray[np.float64], bins: int) -> list[float]:
    """Return bins of equal width over the scores; whole numbers get whole edges."""
    if column == "rouge_l":
        return [float(edge) for edge in np.linspace(0.0, 1.0, bins + 1)]
    if not len(scores):
        return [0.0, 1.0]
    low, high = float(scores.min()), float(scores.max())
    if column in _WHOLE:
        high = float(np.quantile(scores, _CUT, method="higher"))
        width = max(1, -(-int(high - low + 1) // bins))
        return [low + width * n for n in range(-(-int(high - low + 1) // width) + 1)]
    low = float(np.quantile(scores, 1 - _CUT, method="lower"))
    return [float(edge) for edge in np.linspace(low, max(high, low + 1e-6), bins + 1)]
