"""What a candidate costs the novelty filter, against the ways it is done elsewhere.

    python scripts/bench_novelty.py --pool sentences.txt.gz     one text a line, gzip or not
    python scripts/bench_novelty.py --generated 1000000         texts of its own (Zipf words)
    python scripts/bench_novelty.py --pool FILE --check 2000    compare with rouge-score, all pairs

Every text is a candidate in turn and joins the pool unless it is a near-duplicate, as in a
run; tokenising is included. The other ways are timed on samples, in the same run, against
a pool of the size reached: rouge-score as the paper's release calls it, the same on texts
that were tokenised beforehand, and rapidfuzz over the whole pool.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rouge_score import rouge_scorer, tokenize

from selfinstruct.filters.novelty.index import NoveltyIndex

SIZES = (1_000, 10_000, 37_000, 100_000, 300_000, 1_000_000)
THRESHOLD, LOOP_FLOOR = 0.7, 0.5
VOCABULARY = 1_000_000
console = Console(width=None if Console().is_terminal else 120)


@dataclass(frozen=True)
class Measured:
    """Of one size of the pool: microseconds a candidate, over the last third and in all.

    The pool is ordered anew whenever it has grown by half: once, or nearly, in a third.
    """

    candidates: int
    pooled: int
    last_us: float
    mean_us: float
    verified: float
    megabytes: float


def read_texts(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip()]


def generate_texts(count: int, duplicates: float, seed: int = 0) -> Iterator[str]:
    """Yield texts of 5 to 40 words; the r-th most frequent word has a share of 1/r (Zipf).

    A near-duplicate is an earlier text with up to a third of its words replaced.
    """
    rng = np.random.default_rng(seed)
    shares = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    shares /= shares[-1]

    def draw(words: int) -> np.ndarray:
        return np.searchsorted(shares, rng.random(words))

    kept: list[np.ndarray] = []
    for number in range(count):
        if kept and rng.random() < duplicates:
            words = kept[rng.integers(len(kept))].copy()
            places = rng.random(len(words)) < rng.random() / 3
            words[places] = draw(int(places.sum()))
        else:
            words = draw(int(np.clip(rng.normal(17, 6), 5, 40)))
        if number % 50 == 0:
            kept.append(words)
        yield " ".join(f"w{word}" for word in words)


def stream(texts: Sequence[str], floor: float) -> list[Measured]:
    """Insert or reject every text; measure at each of the sizes."""
    index = NoveltyIndex(THRESHOLD)
    index.add("compile", "compile the kernels first")
    index.nearest("compile the kernels")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results, took = [], np.zeros(len(texts))
    sizes = [size for size in SIZES if size < len(texts)] + [len(texts)]
    for number, text in enumerate(track(texts, f"floor {floor}", console=console, transient=True)):
        started = time.perf_counter()
        match = index.nearest(text, floor)
        if match is None or match.score <= THRESHOLD:
            index.add(str(number), text)
        took[number] = time.perf_counter() - started
        if number + 1 in sizes:
            [pool] = index._pools.values()  # one, of both tokenizers
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            results.append(
                Measured(
                    number + 1,
                    len(index),
                    1e6 * took[(number + 1) * 2 // 3 : number + 1].mean(),
                    1e6 * took[: number + 1].mean(),
                    pool.verified / pool.queries,
                    grown / 1024,
                )
            )
    return results


def per_pair(texts: Sequence[str], compare: Callable[[str, str], object], pairs: int) -> float:
    """Return microseconds for one pair of texts."""
    rng = random.Random(0)
    chosen = [(rng.choice(texts), rng.choice(texts)) for _ in range(pairs)]
    started = time.perf_counter()
    for first, second in chosen:
        compare(first, second)
    return 1e6 * (time.perf_counter() - started) / pairs


def other_ways(texts: Sequence[str]) -> dict[str, float]:
    """Return microseconds for one pair, for each of the other ways."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    split = {text: tokenize.tokenize(text, None) for text in texts[:20_000]}
    known = list(split)
    characters: dict[str, str] = {}
    encoded = [
        "".join(characters.setdefault(word, chr(0x10000 + len(characters))) for word in words)
        for words in split.values()
    ]
    started = time.perf_counter()
    queries = encoded[:50]
    cdist(queries, encoded, scorer=LCSseq.similarity, dtype=np.int32)
    brute = 1e6 * (time.perf_counter() - started) / (len(queries) * len(encoded))
    return {
        "rouge-score, as released": per_pair(known, scorer.score, 3000),
        "rouge-score, tokenised beforehand": per_pair(
            known, lambda a, b: rouge_scorer._score_lcs(split[a], split[b]), 3000
        ),
        "rapidfuzz over the whole pool": brute,
    }


def check(texts: Sequence[str]) -> int:
    """Compare score and decision with rouge-score for every pair of texts; return differences."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    pool = [text for text in texts if tokenize.tokenize(text, None)]
    split = [tokenize.tokenize(text, None) for text in pool]
    index = NoveltyIndex(THRESHOLD, "rouge")
    index.add_all((str(number), text) for number, text in enumerate(pool))
    assert scorer.score(pool[0], pool[1])["rougeL"] == rouge_scorer._score_lcs(split[0], split[1])
    differences = 0
    for query, words in zip(track(pool, "checking", console=console), split, strict=True):
        scores = [rouge_scorer._score_lcs(other, words).fmeasure for other in split]
        best = max(scores)
        for floor in (0.0, LOOP_FLOOR, THRESHOLD):
            found = index.nearest(query, floor)
            expected = (str(scores.index(best)), best) if best > floor else None
            differences += (found and (found.id, found.score)) != expected
        # The query itself is in the pool: take it out to see its real neighbours.
        others = [score if score < 1 else 0.0 for score in scores]
        near = [str(place) for place, score in enumerate(others) if score > THRESHOLD]
        alone = NoveltyIndex(THRESHOLD, "rouge")
        alone.add_all((str(place), pool[place]) for place in range(len(pool)) if scores[place] < 1)
        found = alone.nearest(query)
        best = max(others)
        differences += bool(near) != (found is not None)
        differences += found is not None and found.score != best
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=Path, help="texts, one a line")
    parser.add_argument("--generated", type=int, default=100_000, help="texts to make up")
    parser.add_argument("--duplicates", type=float, default=0.2, help="share of near-duplicates")
    parser.add_argument("--check", type=int, help="compare so many texts with rouge-score instead")
    parser.add_argument("--floors", type=float, nargs="+", default=[THRESHOLD, LOOP_FLOOR])
    options = parser.parse_args()
    if options.pool:
        texts = read_texts(options.pool)
    else:
        texts = list(generate_texts(options.generated, options.duplicates))
    if options.check:
        differences = check(texts[: options.check])
        console.print(f"{differences} differences among {options.check} x {options.check} pairs")
        raise SystemExit(bool(differences))
    report(texts, options.floors)


def report(texts: Sequence[str], floors: Sequence[float]) -> None:
    pair = other_ways(texts)
    table = Table(title=f"{len(texts):,} candidates, insert or reject above {THRESHOLD}")
    table.add_column("way", no_wrap=True)
    for name in (
        "candidates",
        "pooled",
        "µs/candidate",
        "all, 1/s",
        "times less",
        "verified",
        "MB",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    ours = {floor: stream(texts, floor) for floor in floors}
    pooled = ours[floors[0]][-1].pooled
    original = pair["rouge-score, as released"]
    for name, cost in pair.items():
        micro = cost * pooled
        cells = ("", f"{pooled:,}", f"{micro:,.0f}", f"{1e6 / micro:,.2f}")
        table.add_row(name, *cells, f"{original / cost:,.1f}", "all", "")
    for floor, results in ours.items():
        for one in results:
            table.add_row(
                f"this index, floor {floor}",
                f"{one.candidates:,}",
                f"{one.pooled:,}",
                f"{one.last_us:,.1f}",
                f"{1e6 / one.mean_us:,.0f}",
                f"{original * one.pooled / one.last_us:,.0f}",
                f"{one.verified:.2f}",
                f"{one.megabytes:,.0f}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
