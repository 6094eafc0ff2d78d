"""Ranked answers to a prompt, expanded to all comparisons that the ranks decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.preferences.folder import LABELLED, REPORT
from selfinstruct.train.data.preference_rows import (
    PreferenceRow,
    PreferenceSplit,
    Unusable,
    answer_text,
    check_split,
    preference_row,
    read_lines,
    read_table,
    split_prompts,
)
from selfinstruct.train.data.turns import turns_of

T = TypeVar("T")


def comparisons(answers: Sequence[tuple[T, float]]) -> list[tuple[T, T, float]]:
    """Return every (better, worse, weight) that scores decide.

    The weights of a prompt's comparisons add up to 1. So a prompt with many answers counts no
    more than a prompt with two (Ouyang et al. 2022, arXiv:2203.02155, §3.5 and eq. 1).

    Args:
        answers: each with its score. Higher is better, and equal scores decide nothing.
    """
    pairs = []
    for (first, high), (second, low) in combinations(answers, 2):
        if high > low:
            pairs.append((first, second))
        elif low > high:
            pairs.append((second, first))
    return [(better, worse, 1 / len(pairs)) for better, worse in pairs]


def read_ranked(data: Path, *, held_out: float = 0.1) -> PreferenceSplit:
    """Read ranked answers, and expand them into comparisons.

    Args:
        data: a folder that `prefer` wrote, of which all labelled answers are used, or JSON lines
            with `prompt` and `ranked`, the answers with the best first.
        held_out: for a file, the share of its prompts to hold out, the last ones.

    Raises:
        ConfigError: there is none, or a row cannot be used.
    """
    if data.is_dir():
        if not (data / REPORT).is_file() or not (data / LABELLED).is_file():
            raise ConfigError(f"{data}: holds no labelled answers; make them with `prefer`")
        rows = read_table(data / LABELLED)
        split = _labelled(rows)
        return check_split(split, data)
    rows = read_lines(data)
    train, held = split_prompts(rows, held_out)
    dropped: Counter[str] = Counter()
    split = PreferenceSplit(_ranked(train, dropped), _ranked(held, dropped), dropped)
    return check_split(split, data)


def _labelled(rows: Sequence[Mapping[str, Any]]) -> PreferenceSplit:
    prompts: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        prompts.setdefault(row["prompt_id"], []).append(row)
    train: list[PreferenceRow] = []
    held: list[PreferenceRow] = []
    for prompt_id, own in prompts.items():
        scored = [(row["text"], row["score"]) for row in own if row["usable"]]
        messages = turns_of(own[0]["prompt"])
        (held if own[0]["held_out"] else train).extend(
            PreferenceRow(ids.example(prompt_id, n), prompt_id, messages, better, worse, weight)
            for n, (better, worse, weight) in enumerate(comparisons(scored))
        )
    return PreferenceSplit(train, held)


def _ranked(rows: Sequence[Mapping[str, Any]], dropped: Counter[str]) -> list[PreferenceRow]:
    pairs = []
    for number, row in enumerate(rows):
        where, ranked = row["where"], row.get("ranked")
        if not isinstance(ranked, list) or len(ranked) < 2:
            raise ConfigError(
                f'{where}: "ranked" is {ranked!r:.60}; give two answers or more, the best first'
            )
        texts = [answer_text(answer, where, "ranked") for answer in ranked]
        # An empty answer teaches nothing, and a repeated one keeps its first place.
        known = {" ".join(text.split()): text for text in reversed(texts)}
        kept = [text for text in texts if text.strip() and known[" ".join(text.split())] is text]
        dropped[str(Unusable.SAME)] += len(texts) - len(kept)
        scored = [(text, -float(place)) for place, text in enumerate(kept)]
        for n, (better, worse, weight) in enumerate(comparisons(scored)):
            pair = {**row, "chosen": better, "rejected": worse}
            pairs.append(preference_row(pair, ids.example(str(number), n), weight))
    return pairs
