"""Time the search for pooled texts that a candidate holds whole, at several pool sizes.

`python scripts/bench_held.py [--sizes N ...]` makes the pool and the candidates itself: words with
the frequencies of Zipf's law, 17 in a text on average. One candidate in ten holds a pooled text.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc

from selfinstruct.filters.novelty.index import NoveltyIndex

QUERIES = 2_000
WORDS = [f"w{number}" for number in range(20_000)]
WEIGHTS = [1 / (rank + 2) for rank in range(len(WORDS))]


def make_text(draw: random.Random) -> str:
    """Return a text of 8 to 26 words."""
    return " ".join(draw.choices(WORDS, WEIGHTS, k=draw.randint(8, 26)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[3_000, 30_000, 300_000])
    sizes = parser.parse_args().sizes
    print("| pooled texts | to take in, µs per text | memory, bytes per text | µs per candidate |")
    print("|---|---|---|---|")
    for size in sizes:
        draw = random.Random(size)
        pool = [make_text(draw) for _ in range(size)]
        queries = [
            f"Then {draw.choice(pool)} again" if number % 10 == 0 else make_text(draw)
            for number in range(QUERIES)
        ]
        index = NoveltyIndex()
        index.add_all((str(number), text) for number, text in enumerate(pool))
        started = time.perf_counter()
        index.held("")
        taken_in = time.perf_counter() - started
        started = time.perf_counter()
        found = sum(index.held(text) is not None for text in queries)
        searched = time.perf_counter() - started
        assert found >= QUERIES // 10
        memory = _memory(pool)
        print(
            f"| {size:,} | {1e6 * taken_in / size:.1f} | {memory / size:.0f} "
            f"| {1e6 * searched / QUERIES:.1f} |"
        )


def _memory(pool: list[str]) -> int:
    """Return the bytes that the index of first words takes, beside the texts themselves."""
    index = NoveltyIndex()
    index.add_all((str(number), text) for number, text in enumerate(pool))
    tracemalloc.start()
    index.held("")
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size


if __name__ == "__main__":
    main()
