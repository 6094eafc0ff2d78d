"""Mixtures: weights, held-out rows of each part, validation data, and what reports say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run
from selfinstruct.train.data.mixture import (
    MixedPart,
    Part,
    mix_pairs,
    mix_rows,
    parse_part,
    source_line,
    weighted,
)
from selfinstruct.train.data.preference_rows import read_pairs
from selfinstruct.train.data.rows import TrainData, read_rows, split_rows
from tests.inputs.some_rows import data

Generate = Callable[..., tuple[Run, str]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rows.jsonl", Part("rows.jsonl")),
        ("rows.jsonl@2", Part("rows.jsonl", 2.0)),
        ("rows.jsonl@0.25", Part("rows.jsonl", 0.25)),
        ("ann/birds@main", Part("ann/birds@main")),
        ("ann/birds@2.0@1", Part("ann/birds@2.0", 1.0)),
        ("ann/birds@main#test@3", Part("ann/birds@main#test", 3.0)),
    ],
)
def test_a_weight_follows_the_name(text: str, part: Part) -> None:
    assert parse_part(text) == part


def test_a_file_may_have_such_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows@2").write_text("x")
    assert parse_part("rows@2") == Part("rows@2")
    for text in ("rows.jsonl@0", "rows.jsonl@1001"):
        with pytest.raises(ConfigError, match="the weight is"):
            parse_part(text)


def test_a_weight_repeats_rows_and_a_fraction_draws_some() -> None:
    rows = list(range(10))
    assert weighted(rows, 1, 0, "a") == rows
    assert Counter(weighted(rows, 3, 0, "a")) == dict.fromkeys(rows, 3)
    half = weighted(rows, 0.5, 0, "a")
    assert len(half) == len(set(half)) == 5
    assert half == sorted(half)
    assert half == weighted(rows, 0.5, 0, "a")
    assert half != weighted(rows, 0.5, 1, "a")
    more = Counter(weighted(rows, 1.3, 0, "a"))
    assert sum(more.values()) == 13
    assert set(more.values()) == {1, 2}


def test_one_data_set_is_split_as_ever(tmp_path: Path) -> None:
    rows = read_rows(data(tmp_path, "alpaca", 30))
    alone = mix_rows([(Part("a"), rows)], share=0.2, seeds_weight=0, seed=0)
    assert alone == split_rows(rows, 0.2)
    assert alone.sources == ()


def test_each_part_holds_out_its_own_rows(tmp_path: Path) -> None:
    first = read_rows(data(tmp_path, "alpaca", 20))
    second = read_rows(data(tmp_path, "transcript", 10))
    same = 0.99  # only the same question is a near neighbour
    parts = [
        (Part("a"), TrainData(first.rows, same)),
        (Part("b", 2.0), TrainData(second.rows, same)),
    ]
    split = mix_rows(parts, share=0.2, seeds_weight=0, seed=0)
    held = [*split.validation, *split.near]
    assert len(held) == 6
    assert [source.held_out for source in split.sources] == [4, 2]
    assert [source.learnt for source in split.sources] == [16, 16]
    assert [source.weight for source in split.sources] == [1.0, 2.0]
    # The two data sets ask the same: a validation row that the other one trains on is no test.
    trained = {row.instruction for row in split.train}
    assert not trained & {row.instruction for row in split.validation}
    assert {row.instruction for row in split.near} <= trained


def test_seed_tasks_have_a_weight_and_are_never_held_out(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20, likelihood__seed_bound=False)
    rows = read_rows(run.path, with_seeds=True)
    seeds = [row.id for row in rows.rows if row.id.startswith("seed:")]
    once = mix_rows([(Part("run"), rows)], share=0.1, seeds_weight=1, seed=0)
    assert once == split_rows(rows, 0.1)
    split = mix_rows([(Part("run"), rows)], share=0.1, seeds_weight=3, seed=0)
    counts = Counter(row.id for row in split.train)
    assert {counts[id] for id in seeds} == {3}
    assert {count for id, count in counts.items() if id not in seeds} == {1}
    assert split.validation == once.validation
    assert split.sources[0] == MixedPart("seed tasks of run", 3.0, len(seeds), 3 * len(seeds), 0)
    assert source_line(split.sources[0]) == "seed tasks of run: 12 rows, weight 3: 36 in an epoch"


def test_validation_data_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = read_rows(data(tmp_path, "alpaca", 20))
    own = read_rows(data(tmp_path, "messages", 5)).rows
    split = mix_rows([(Part("a"), rows)], share=0.1, seeds_weight=0, seed=0, validation=own)
    assert split.train == rows.rows
    assert split.validation == own
    assert split.near == []
    assert "5 of 5 validation rows are near neighbours of training rows" in caplog.text


def test_pairs_of_several_data_sets(tmp_path: Path) -> None:
    first, second = data(tmp_path, "preference", 20), tmp_path / "more.json"
    second.write_text(first.read_text().replace("What is a", "Is there any use for a"))
    parts = [
        (Part("a"), read_pairs(first, held_out=0.1)),
        (Part("b", 2.0), read_pairs(second, held_out=0.1)),
    ]
    mixed = mix_pairs(parts, 0)
    assert (len(mixed.train), len(mixed.held_out)) == (18 + 36, 4)
    counts = Counter(row.id for row in mixed.train)
    assert set(counts.values()) == {1, 2}
    assert {id for id, count in counts.items() if count == 2} == {f"2:{n}" for n in range(18)}
    assert len({row.id for row in mixed.held_out}) == 4
    assert [source.learnt for source in mixed.sources] == [18, 36]
    split = parts[0][1]
    assert mix_pairs([(Part(split.name), split)], 0) == split


def test_too_few_pairs_in_all(tmp_path: Path) -> None:
    parts = [(Part("a"), read_pairs(data(tmp_path, "preference", 4), held_out=0))]
    with pytest.raises(ConfigError, match="a: 4 pairs to train on are too few"):
        mix_pairs(parts, 0)
    assert len(mix_pairs(parts * 2, 0).train) == 8
