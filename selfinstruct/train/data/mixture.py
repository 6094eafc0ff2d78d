"""Mix several data sets for one training, each with a weight and held-out rows of its own."""

from __future__ import annotations

import logging
import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit, check_split
from selfinstruct.train.data.rows import Split, TrainData, split_rows, without_near
from selfinstruct.train.data.turns import TrainRow

log = logging.getLogger(__name__)
T = TypeVar("T")

_WEIGHTED = re.compile(r"(?P<data>.+)@(?P<weight>\d+(?:\.\d+)?)")
_SEEDS = "seed tasks"
# More repeats than this of one data set is a mistake.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One of several data sets; each of its rows is learnt `weight` times in an epoch."""

    data: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class MixedPart:
    """What a part gave: its rows to train on, how many are learnt in an epoch, and those held out.

    Reports have it as it is.
    """

    data: str
    weight: float
    rows: int
    learnt: int
    held_out: int


def parse_part(text: str) -> Part:
    """Return a data set and its weight: `DATA@2.0`, or `DATA` for the weight 1.

    Raises:
        ConfigError: the weight is 0, or far too large.
    """
    match = _WEIGHTED.fullmatch(text)
    if match is None or Path(text).exists():
        return Part(text)
    weight = float(match["weight"])
    if not 0 < weight <= _MOST:
        raise ConfigError(f"--data {text}: the weight is {weight:g}; give one from 0.01 to {_MOST}")
    return Part(match["data"], weight)


def weighted(rows: Sequence[T], weight: float, seed: int, name: str) -> list[T]:
    """Return rows repeated by a weight: 2 gives each twice, 0.5 half of them.

    A fraction is a seeded draw without replacement. The order stays.
    """
    whole = math.floor(weight)
    drawn = round((weight - whole) * len(rows))
    rng = random.Random(derive_seed(seed, "mixture", name))
    places = sorted(rng.sample(range(len(rows)), drawn))
    return [*rows] * whole + [rows[place] for place in places]


def mix_rows(
    parts: Sequence[tuple[Part, TrainData]],
    *,
    share: float,
    seeds_weight: float,
    seed: int,
    validation: Sequence[TrainRow] | None = None,
) -> Split:
    """Split each part, put the parts together, and weight what is trained on.

    Args:
        parts: the data sets, with their rows.
        share: of each part to hold out; the last rows, as in `split_rows`.
        seeds_weight: of seed tasks among the rows of runs.
        seed: of the draws.
        validation: rows to validate with instead; nothing is held out then.
    """
    splits = [split_rows(data, 0.0 if validation is not None else share) for _, data in parts]
    train: list[TrainRow] = []
    sources: list[MixedPart] = []
    for (part, _), split in zip(parts, splits, strict=True):
        seeds = [row for row in split.train if row.id.startswith("seed:")]
        own = [row for row in split.train if not row.id.startswith("seed:")]
        held = len(split.validation) + len(split.near)
        for name, rows, weight, out in (
            (f"{_SEEDS} of {part.data}", seeds, seeds_weight * part.weight, 0),
            (part.data, own, part.weight, held),
        ):
            if rows or out:
                learnt = weighted(rows, weight, seed, name)
                train += learnt
                sources.append(MixedPart(name, weight, len(rows), len(learnt), out))
    if not train:
        raise ConfigError("--data: nothing is left to train on; give larger weights")
    plain = all(source.weight == 1 for source in sources)
    if len(splits) == 1 and validation is None:
        return replace(splits[0], train=train, sources=() if plain else tuple(sources))
    near_above = min(data.near_above for _, data in parts)
    version = max(data.rules_version for _, data in parts)
    learnt_rows = TrainData([row for split in splits for row in split.train], near_above, version)
    held_rows = [row for split in splits for row in split.validation]
    near = [row for split in splits for row in split.near]
    if validation is not None:
        _warn_of_near(learnt_rows, validation)
        return Split(train, list(validation), [], tuple(sources))
    apart, more = without_near(held_rows, learnt_rows)
    return Split(train, apart, [*near, *more], tuple(sources))


def _warn_of_near(train: TrainData, validation: Sequence[TrainRow]) -> None:
    _, near = without_near(validation, train)
    if near:
        log.warning(
            "%d of %d validation rows are near neighbours of training rows: the validation loss "
            "is too good; --decontaminate leaves those out of training",
            len(near),
            len(validation),
        )


class Splitted(Protocol[T]):
    """Rows to train on, rows held out, and how many were dropped."""

    @property
    def train(self) -> list[T]: ...
    @property
    def held_out(self) -> list[T]: ...
    @property
    def dropped(self) -> Counter[str]: ...


@dataclass(frozen=True)
class Mixed(Generic[T]):
    """The rows of several data sets: as a split has them, with what each part gave."""

    train: list[T]
    held_out: list[T]
    dropped: Counter[str]
    sources: tuple[MixedPart, ...]
    name: str


def mix_splits(
    parts: Sequence[tuple[Part, Splitted[T]]], seed: int, validation: Splitted[T] | None
) -> Mixed[T]:
    """Put the rows of several data sets together, and weight those that are trained on.

    Args:
        parts: the data sets, with their rows.
        seed: of the draws.
        validation: rows to hold out instead; those of the parts must hold none out.
    """
    mixed: Mixed[T] = Mixed([], [], Counter(), (), " and ".join(part.data for part, _ in parts))
    sources: list[MixedPart] = []
    for part, split in parts:
        learnt = weighted(split.train, part.weight, seed, part.data)
        mixed.train.extend(learnt)
        mixed.held_out.extend(split.held_out)
        mixed.dropped.update(split.dropped)
        counts = len(split.train), len(learnt), len(split.held_out)
        sources.append(MixedPart(part.data, part.weight, *counts))
    if validation is not None:
        mixed.held_out[:] = [*validation.train, *validation.held_out]
    plain = len(parts) == 1 and parts[0][0].weight == 1
    return replace(mixed, sources=() if plain else tuple(sources))


def mix_pairs(
    parts: Sequence[tuple[Part, PreferenceSplit]],
    seed: int,
    validation: PreferenceSplit | None = None,
) -> PreferenceSplit:
    """Put the pairs of several data sets together, and weight those that are trained on.

    Args:
        parts: the data sets, with their pairs.
        seed: of the draws.
        validation: pairs to hold out instead; those of the parts must hold none out.

    Raises:
        ConfigError: too few pairs are left to train on.
    """
    train: list[PreferenceRow] = []
    held: list[PreferenceRow] = []
    dropped: Counter[str] = Counter()
    sources: list[MixedPart] = []
    for number, (part, split) in enumerate(parts):
        own = [_renamed(row, number) for row in split.train]
        learnt = weighted(own, part.weight, seed, part.data)
        train += learnt
        held += [_renamed(row, number) for row in split.held_out]
        dropped += split.dropped
        counts = len(own), len(learnt), len(split.held_out)
        sources.append(MixedPart(part.data, part.weight, *counts))
    if validation is not None:
        held = [*validation.train, *validation.held_out]
        known = {row.prompt_id for row in train}
        if shared := len({row.prompt_id for row in held} & known):
            log.warning("%d prompts are both trained on and held out", shared)
    plain = len(parts) == 1 and parts[0][0].weight == 1
    name = " and ".join(part.data for part, _ in parts)
    mixed = PreferenceSplit(train, held, dropped, () if plain else tuple(sources), name)
    return check_split(mixed, name)


def _renamed(row: PreferenceRow, number: int) -> PreferenceRow:
    """Return a pair of a further data set under an id that no other has."""
    return row if number == 0 else replace(row, id=f"{number + 1}:{row.id}")


def reported(result: Any) -> dict[str, Any]:
    """Return a result as JSON can hold it; `sources` only where there was a mixture."""
    report = asdict(result)
    return report if result.sources else {k: v for k, v in report.items() if k != "sources"}


def source_line(source: MixedPart) -> str:
    """Return what a part of a mixture gave, as a line for people."""
    held = f", {source.held_out:,} held out" if source.held_out else ""
    return (
        f"{source.data}: {source.rows:,} rows, weight {source.weight:g}: {source.learnt:,} in an "
        f"epoch{held}"
    )


def shown(sources: Sequence[MixedPart]) -> str:
    """Return a mixture as a line of text."""
    return "; ".join(
        f"`{Path(source.data).name}` {source.rows:,} rows, weight {source.weight:g}"
        for source in sources
    )
