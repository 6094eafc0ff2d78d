"""Texts made up for bench_novelty.py: as people write them, and of kinds that are hard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kind:
    """Words of a vocabulary; the r-th most frequent has a share of 1/(r + offset) (Zipf).

    Lengths are normal with `mean` and `spread`, between `least` and `most` words.
    """

    vocabulary: int
    offset: int
    mean: int
    spread: int
    least: int = 5
    most: int = 40
    spaced: bool = True


KINDS = {
    "zipf": Kind(1_000_000, 0, 17, 6),
    "loop": Kind(40_000, 10, 22, 10),  # those of bench_loop.py
    "few": Kind(50, 0, 17, 6),
    "one": Kind(1, 0, 17, 6),
    "long": Kind(40_000, 0, 500, 30, 400, 600),
    "chinese": Kind(3_500, 20, 34, 15, 8, 60, spaced=False),
}


def generate_texts(count: int, duplicates: float, kind: str, seed: int = 0) -> Iterator[str]:
    """Yield texts; a near-duplicate is an earlier one with up to a third of its words replaced."""
    rng, own = np.random.default_rng(seed), KINDS[kind]
    shares = np.cumsum(1 / (np.arange(1, own.vocabulary + 1) + own.offset))
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
            words = draw(int(np.clip(rng.normal(own.mean, own.spread), own.least, own.most)))
        if number % 50 == 0:
            kept.append(words)
        yield _text(words, own)


def _text(words: np.ndarray, kind: Kind) -> str:
    if kind.spaced:
        return " ".join(f"w{word}" for word in words)
    return "".join(chr(0x4E00 + word) for word in words)
