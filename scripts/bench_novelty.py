"""What a candidate costs the novelty filter, against the ways it is done elsewhere.

    python scripts/bench_novelty.py --pool sentences.txt.gz     one text a line, gzip or not
    python scripts/bench_novelty.py --generated 1000000         texts of its own (Zipf words)
    python scripts/bench_novelty.py --generated 100000 --words few      of a kind that is hard
    python scripts/bench_novelty.py --pool FILE --check 2000    compare with rouge-score, all pairs

Every text is a candidate in turn and joins the pool unless it is a near-duplicate, as in a
run; tokenising is included. The other ways are timed on samples, in the same run, against
a pool of the size reached: rouge-score as the paper's release calls it, the same on texts
that were tokenised beforehand, rapidfuzz over the whole pool, and a prefix filter
(prefix_filter.py), the fastest exact way of these.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from novelty_texts import KINDS, generate_texts
from prefix_filter import PrefixFilter
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rouge_score import rouge_scorer, tokenize

from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.filters.novelty.tokens import choose_tokenizer_3, tokens_3

SIZES = (1_000, 10_000, 37_000, 100_000, 300_000, 1_000_000)
THRESHOLD, LOOP_FLOOR = 0.7, 0.5
PREFIX_QUERIES = 200
LONG = 100  # tokens; of longer texts, few pairs are timed
console = Console(width=None if Console().is_terminal else 120)


@dataclass(frozen=True)
class Measured:
    """Of one size of the pool: microseconds a candidate, over the last third and in all."""

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


def stream(texts: Sequence[str], floor: float, last: int | None = None) -> list[Measured]:
    """Insert or reject every text; measure at each of the sizes.

    Args:
        texts: the candidates.
        floor: that they are asked with.
        last: only so many before each size are asked; the others join the pool. None: all.
    """
    index = NoveltyIndex(THRESHOLD)
    index.add("compile", "compile the kernels first")
    index.nearest("compile the kernels")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results, took = [], np.zeros(len(texts))
    sizes = [size for size in SIZES if size < len(texts)] + [len(texts)]
    for number, text in enumerate(track(texts, f"floor {floor}", console=console, transient=True)):
        is_asked = last is None or any(size - last <= number < size for size in sizes)
        if last is not None and is_asked:
            index._pool(index.tokenizer_of(text))  # those that were not asked about are taken in
        started = time.process_time()
        match = index.nearest(text, floor) if is_asked else None
        if match is None or match.score <= THRESHOLD:
            index.add(str(number), text)
        took[number] = time.process_time() - started
        if number + 1 in sizes:
            [pool] = index._pools.values()  # one, of both tokenizers
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            first = (number + 1) * 2 // 3 if last is None else number + 1 - last
            results.append(
                Measured(
                    number + 1,
                    len(index),
                    1e6 * took[first : number + 1].mean(),
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
    started = time.process_time()
    for first, second in chosen:
        compare(first, second)
    return 1e6 * (time.process_time() - started) / pairs


def other_ways(texts: Sequence[str]) -> dict[str, float]:
    """Return microseconds for one pair, for each of the other ways."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    split = {text: tokens_3(text, choose_tokenizer_3(text, "auto")) for text in texts[:20_000]}
    pairs = 3000 if len(split[texts[0]]) < LONG else 100
    known = list(split)
    characters: dict[str, str] = {}
    encoded = [
        "".join(characters.setdefault(word, chr(0x10000 + len(characters))) for word in words)
        for words in split.values()
    ]
    started = time.process_time()
    queries = encoded[:50]
    cdist(queries, encoded, scorer=LCSseq.similarity, dtype=np.int32)
    brute = 1e6 * (time.process_time() - started) / (len(queries) * len(encoded))
    return {
        "rouge-score, as released": per_pair(known, scorer.score, pairs),
        "rouge-score, tokenised beforehand": per_pair(
            known, lambda a, b: rouge_scorer._score_lcs(split[a], split[b]), pairs
        ),
        "rapidfuzz over the whole pool": brute,
    }


def prefix_filter(texts: Sequence[str], pooled: int, floor: float) -> float:
    """Return microseconds for a query of a prefix filter, with a pool of the size that ours has."""
    split = [tokens_3(text, choose_tokenizer_3(text, "auto")) for text in texts[-pooled:]]
    pool = PrefixFilter(split[:-PREFIX_QUERIES], floor)
    started = time.process_time()
    for words in split[-PREFIX_QUERIES:]:
        pool.nearest(words)
    return 1e6 * (time.process_time() - started) / PREFIX_QUERIES


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
    parser.add_argument("--words", choices=KINDS, default="zipf", help="kind of those texts")
    parser.add_argument("--duplicates", type=float, default=0.2, help="share of near-duplicates")
    parser.add_argument("--last", type=int, help="ask only so many before each size of the pool")
    parser.add_argument("--check", type=int, help="compare so many texts with rouge-score instead")
    parser.add_argument("--floors", type=float, nargs="+", default=[THRESHOLD, LOOP_FLOOR])
    options = parser.parse_args()
    if options.pool:
        texts = read_texts(options.pool)
    else:
        texts = list(generate_texts(options.generated, options.duplicates, options.words))
    if options.check:
        differences = check(texts[: options.check])
        console.print(f"{differences} differences among {options.check} x {options.check} pairs")
        raise SystemExit(bool(differences))
    report(texts, options.floors, options.last)


def report(texts: Sequence[str], floors: Sequence[float], last: int | None) -> None:
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
    ours = {floor: stream(texts, floor, last) for floor in floors}
    pooled = ours[floors[0]][-1].pooled
    original = pair["rouge-score, as released"]
    for name, cost in pair.items():
        micro = cost * pooled
        cells = ("", f"{pooled:,}", f"{micro:,.0f}", f"{1e6 / micro:,.2f}")
        table.add_row(name, *cells, f"{original / cost:,.1f}", "all", "")
    for floor in floors:
        micro = prefix_filter(texts, ours[floor][-1].pooled, floor)
        table.add_row(
            f"prefix filter, floor {floor}",
            "",
            f"{ours[floor][-1].pooled:,}",
            f"{micro:,.1f}",
            f"{1e6 / micro:,.0f}",
            f"{original * pooled / micro:,.0f}",
        )
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
