"""The worked tasks that prompts show: whose, how many, and which."""

from __future__ import annotations

import random

import pytest

from selfinstruct.common.records import Instance, SeedTask
from selfinstruct.prompts import FewShot, choose_fewshot, load_prompts


def task(
    name: str,
    *pairs: tuple[str, str],
    label: bool | None = False,
    instruction: str = "",
) -> SeedTask:
    instances = tuple(Instance(*pair) for pair in pairs or [("", "out")])
    return SeedTask(name, name, instruction or f"Do {name}.", instances, label)


def label(name: str) -> SeedTask:
    return task(name, ("in", "yes"), ("in2", "no"), label=True)


def choose(
    seeds: list[SeedTask],
    shipped: list[SeedTask],
    *,
    seed: int = 0,
    for_classify: int = 4,
    for_instances: int = 2,
) -> FewShot:
    return choose_fewshot(
        seeds,
        shipped,
        random.Random(seed),
        for_classify=for_classify,
        for_instances=for_instances,
    )


def names(exemplars: list[dict[str, object]]) -> list[str]:
    return [str(one["instruction"]).removeprefix("Do ").removesuffix(".") for one in exemplars]


SHIPPED = [
    *(label("ship_l1"), label("ship_l2")),
    *(task("ship_f1", ("in", "out")), task("ship_f2"), task("ship_f3"), task("ship_f4")),
]


def test_shipped_tasks_stand_in_where_there_are_no_seeds() -> None:
    chosen = choose([], SHIPPED)
    assert names(chosen.classification) == ["ship_l1", "ship_l2"]
    assert names(chosen.with_input) == ["ship_f1"]
    assert names(chosen.without_input) == ["ship_f2", "ship_f3"]
    assert sorted(names(chosen.classify)) == ["ship_f1", "ship_f2", "ship_l1", "ship_l2"]


def test_the_users_seeds_come_first_and_shipped_ones_top_up() -> None:
    seeds = [label("own_l"), task("own_in", ("in", "out")), task("own_free")]
    chosen = choose(seeds, SHIPPED)
    assert names(chosen.classification) == ["own_l", "ship_l1"]
    assert names(chosen.with_input) == ["own_in", "ship_f1"]
    assert names(chosen.without_input) == ["own_free", "ship_f2"]
    assert sorted(names(chosen.classify)) == ["own_free", "own_in", "own_l", "ship_l1"]


@pytest.mark.parametrize(("count", "labelled"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_half_of_what_classify_shows_is_classification(count: int, labelled: int) -> None:
    chosen = choose([], SHIPPED, for_classify=count)
    assert len(chosen.classify) == count
    assert sum(one["is_classification"] is True for one in chosen.classify) == labelled


def test_a_task_is_shown_where_its_kind_belongs() -> None:
    seeds = [
        task("unknown", label=None),
        task("no_input", ("", "yes"), label=True),
        task("part_input", ("in", "yes"), ("", "no"), label=True),
    ]
    chosen = choose(seeds, [], for_classify=8, for_instances=8)
    assert chosen == FewShot([], [], [], [])


def test_a_long_seed_is_not_shown() -> None:
    def words(count: int) -> str:
        return " ".join(["w"] * count)

    fits = task("x", (words(30), words(30)), instruction=words(30))
    long = task("x", (words(30), words(31)), instruction=words(30))
    beyond = task("x", *[("", words(29))] * 3, ("", words(99)), instruction="Do more now.")
    assert len(choose([fits], []).with_input) == 1
    assert choose([long], []).with_input == []
    assert len(choose([beyond], []).without_input) == 1  # a fourth instance is not shown


def test_outputs_of_twenty_words_and_more_are_shown_first() -> None:
    short = [task(f"short{n}", ("", "w " * 19)) for n in range(8)]
    told = [task(f"told{n}", ("", "w " * 20)) for n in range(2)]
    shown = choose([*short, *told], [], for_instances=3).without_input
    assert {one["instruction"] for one in shown[:2]} == {"Do told0.", "Do told1."}
    assert "short" in shown[2]["instruction"]


def test_an_exemplar_shows_three_instances_at_most() -> None:
    pairs = [(f"i{number}", f"o{number}") for number in range(5)]
    [shown] = choose([task("many", *pairs, label=True)], []).classification
    assert shown == {
        "instruction": "Do many.",
        "is_classification": True,
        "input": "i0",
        "output": "o0",
        "instances": [{"input": f"i{n}", "output": f"o{n}"} for n in range(3)],
    }


def test_the_draw_depends_on_the_generator_alone() -> None:
    seeds = [task(f"own{number}") for number in range(30)]
    first = choose(seeds, SHIPPED, seed=1)
    assert choose(seeds, SHIPPED, seed=1) == first
    others = [choose(seeds, SHIPPED, seed=number) for number in range(2, 6)]
    assert any(other != first for other in others)


def test_the_shipped_exemplars_fill_every_default() -> None:
    chosen = choose([], list(load_prompts().exemplars), for_classify=8, for_instances=4)
    assert sum(bool(one["is_classification"]) for one in chosen.classify) == 4
    assert len(chosen.classify) == 8
    for shown in (chosen.with_input, chosen.without_input, chosen.classification):
        assert len(shown) == 4


def test_no_task_is_shown_twice() -> None:
    same = task("copy", instruction="Do ship_f2.")
    chosen = choose([same], SHIPPED, for_instances=9)
    assert sorted(names(chosen.without_input)) == ["ship_f2", "ship_f3", "ship_f4"]
