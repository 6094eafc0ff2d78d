"""Pairs to learn a preference from: a better and a worse of a task's scored answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from selfinstruct.common.statistics import wilson
from selfinstruct.filters.length import count_words
from selfinstruct.filters.similarity import composed
from selfinstruct.labellers.base import (
    Answers,
    Margin,
    ScoredAnswer,
    any_two,
    score_margin,
)

# Fewer training pairs than this teach nothing.
LEAST_PAIRS = 8


class Dropped(StrEnum):
    """Why an answer or a pair is left out."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    DUPLICATE = "duplicate"
    UNSCORED = "unscored"
    TIE = "tie"
    BELOW_MARGIN = "below_margin"
    LENGTH_BALANCE = "length_balance"


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse answer to one prompt; `margin` is the difference of their scores."""

    prompt_id: str
    chosen: ScoredAnswer
    rejected: ScoredAnswer
    margin: float


def make_pairs(
    answers: Answers,
    *,
    min_margin: float,
    most: int = 1,
    margin_of: Margin = score_margin,
    may_pair: Callable[[ScoredAnswer, ScoredAnswer], bool] = any_two,
) -> tuple[list[Pair], Counter[Dropped]]:
    """Pair the answers of each prompt.

    Args:
        answers: by prompt, in the order of the prompts.
        min_margin: least difference of the scores; equal scores never make a pair.
        most: most pairs of a prompt, the widest first.
        margin_of: how much better the first of two answers is.
        may_pair: whether two answers may be compared.

    Returns:
        The pairs, and how many answers and pairs were dropped, by reason. An answer is a
        duplicate if it has the words of an earlier one.
    """
    pairs: list[Pair] = []
    dropped: Counter[Dropped] = Counter()
    for prompt_id, own in answers.items():
        usable = usable_answers(own, dropped)
        candidates: list[Pair] = []
        for first, second in combinations(usable, 2):
            if not may_pair(first, second):
                continue
            margin = margin_of(first, second)
            if math.isnan(margin) or margin == 0:
                dropped[Dropped.TIE] += 1
            elif abs(margin) < min_margin:
                dropped[Dropped.BELOW_MARGIN] += 1
            else:
                better, worse = (first, second) if margin > 0 else (second, first)
                candidates.append(Pair(prompt_id, better, worse, abs(margin)))
        pairs += sorted(candidates, key=lambda pair: -pair.margin)[:most]
    return pairs, dropped


def usable_answers(
    answers: Sequence[ScoredAnswer], dropped: Counter[Dropped]
) -> list[ScoredAnswer]:
    """Leave out empty, unfinished, repeated and unscored answers."""
    seen: set[str] = set()
    kept = []
    for answer in answers:
        words = composed(" ".join(answer.text.split()))
        if not words:
            dropped[Dropped.EMPTY] += 1
        elif not answer.finished:
            dropped[Dropped.TRUNCATED] += 1
        elif words in seen:
            dropped[Dropped.DUPLICATE] += 1
        elif math.isnan(answer.score):
            dropped[Dropped.UNSCORED] += 1
        else:
            kept.append(answer)
        seen.add(words)
    return kept


def length_balanced(pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
    """Drop pairs until the longer answer is chosen as often as the shorter one.

    The pairs with the widest difference of length go first, of the more frequent kind.

    Returns:
        The pairs that are left, in their order, and how many were dropped.
    """
    gaps = [length_gap(pair) for pair in pairs]
    longer = [n for n, gap in enumerate(gaps) if gap > 0]
    shorter = [n for n, gap in enumerate(gaps) if gap < 0]
    many, few = (longer, shorter) if len(longer) > len(shorter) else (shorter, longer)
    widest = sorted(many, key=lambda n: (-abs(gaps[n]), n))
    gone = set(widest[: len(many) - len(few)])
    return [pair for n, pair in enumerate(pairs) if n not in gone], len(gone)


def length_gap(pair: Pair) -> int:
    """Return how many words longer the chosen answer is."""
    return count_words(pair.chosen.text) - count_words(pair.rejected.text)


@dataclass(frozen=True, slots=True)
class LengthReport:
    """How well "longer" predicts "chosen": its share with a 95 % interval, ties as halves.

    The interval counts each prompt as one observation, since pairs of one prompt share answers.
    `biased`: the interval excludes one half, and the share is above 60 % or below 40 %.
    """

    pairs: int
    chosen_words: float
    rejected_words: float
    longer_chosen: float
    low: float
    high: float
    biased: bool


# A labeller that looks only at length reaches 1; less than this hardly shows in training.
_BIAS = 0.1


def length_report(pairs: Sequence[Pair]) -> LengthReport:
    """Return the report; the interval is Wilson's (1927) for a share."""
    gaps = [length_gap(pair) for pair in pairs]
    wins = sum(1.0 if gap > 0 else 0.5 if gap == 0 else 0.0 for gap in gaps)
    share = wins / len(gaps) if gaps else math.nan
    prompts = len({pair.prompt_id for pair in pairs})
    low, high = wilson(share * prompts, prompts)
    return LengthReport(
        pairs=len(pairs),
        chosen_words=_mean([count_words(pair.chosen.text) for pair in pairs]),
        rejected_words=_mean([count_words(pair.rejected.text) for pair in pairs]),
        longer_chosen=share,
        low=low,
        high=high,
        biased=bool(gaps) and abs(share - 0.5) > _BIAS and not low <= 0.5 <= high,
    )


def split_pairs(
    pairs: Sequence[Pair], group_of: Mapping[str, str], held_out: int
) -> tuple[list[Pair], list[Pair]]:
    """Hold out the widest pair of each of the last prompts; no group is in both parts.

    Only one pair of a prompt is held out: two pairs with a common answer are not independent.

    Args:
        pairs: in the order of their prompts.
        group_of: the instruction that a prompt belongs to.
        held_out: least number of pairs to hold out.

    Returns:
        Pairs to train on, and held-out pairs: fewer than `held_out` if there are not enough.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(group_of[pair.prompt_id], []).append(pair)
    order = list(groups.values())
    held: list[Pair] = []
    while len(order) > 1 and len(held) < held_out:
        held = _widest(order.pop()) + held
    return [pair for group in order for pair in group], held


def split_balanced(
    pairs: Sequence[Pair], group_of: Mapping[str, str], held_out: int
) -> tuple[list[Pair], list[Pair], LengthReport]:
    """Split pairs as `split_pairs` does, and balance the lengths of both parts.

    It holds out one more prompt for each pair that balancing drops.

    Returns:
        Pairs to train on, held-out pairs, and the lengths of both before balancing.
    """
    least = held_out
    while True:
        train, held = split_pairs(pairs, group_of, least)
        balanced, _ = length_balanced(held)
        if len(balanced) >= held_out or len(held) < least:
            return length_balanced(train)[0], balanced, length_report([*train, *held])
        least += held_out - len(balanced)


def _widest(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the widest pair of each prompt."""
    widest: dict[str, Pair] = {}
    for pair in pairs:
        if pair.prompt_id not in widest or pair.margin > widest[pair.prompt_id].margin:
            widest[pair.prompt_id] = pair
    return list(widest.values())


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else math.nan
