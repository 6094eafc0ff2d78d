"""Judging again only what the thresholds touch gives what judging everything gives."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Request, Stage
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts import whatif
from selfinstruct.verdicts.changes import Change, WhatIf
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.whatif import Thresholds, config_with, save_what_if, what_if
from selfinstruct.verdicts.whatif_full import judge_all
from selfinstruct.verdicts.whatif_pool import UnknownRulesError
from selfinstruct.verdicts.whatif_touched import judge_touched

Generate = Callable[..., tuple[Run, str]]

WORDS = [
    *("bake", "cut", "draw", "eat", "find", "give", "help", "join"),
    *("keep", "list", "make", "name", "open", "pick", "read", "sing"),
]
STRANGE = ["Näme", "Größe", "写一首诗", "où", "ΣΙΓΜΑ", "день"]


def writer(strange: float) -> Callable[[Request], str]:
    """Return a script of short texts that are near one another, and at times hold one another."""

    def text(request: Request, item: int) -> str:
        rng = random.Random(f"{request.id}/{item}/{request.parents}/{request.seed}")
        first = ["Describe", "Explain", "Write", "Compare"][rng.randrange(4)]
        words = [rng.choice(WORDS[: rng.choice([6, 16])]) for _ in range(rng.randint(3, 12))]
        if rng.random() < strange:
            words[rng.randrange(len(words))] = rng.choice(STRANGE)
        if rng.random() < 0.2:
            # A longer task around a fixed one of more than eight words.
            fixed = f"list all the {words[0]} words that you can {words[1]} find today"
            words = rng.choice([fixed.split(), ["first", *fixed.split(), "then", *words]])
        return f"{first} {' '.join(words)}."

    def script(request: Request) -> str:
        if request.stage is Stage.PROPOSE:
            number = len(request.parents) + 1
            items = [text(request, item) for item in range(6)]
            rest = [f"{number + n}. {one}" for n, one in enumerate(items[1:], start=1)]
            return "\n".join([f" {items[0]}", *rest])
        rng = random.Random(request.id)
        if request.stage is Stage.CLASSIFY:
            return rng.choice([" text", " label"])
        if rng.random() < 0.1:
            return ""
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9)))
        return f"Output: It is {words}."

    return script


def both(run: Run, thresholds: Thresholds) -> tuple[WhatIf, WhatIf]:
    """Judge a run the short and the long way."""
    recorded, inputs = stored_config(run), stored_inputs(run)
    config = config_with(recorded, thresholds)
    return judge_touched(run, config, recorded, inputs), judge_all(run, config, inputs)


def comparable(found: WhatIf) -> Any:
    return replace(
        found, changes=plain(found.changes), instance_changes=plain(found.instance_changes)
    )


def plain(changes: Any) -> list[Any]:
    def value(one: Any) -> Any:
        return None if isinstance(one, float) and math.isnan(one) else one

    return [tuple(map(value, astuple(change))) for change in changes]


THRESHOLDS = st.one_of(
    st.builds(
        Thresholds,
        rouge=st.none() | st.sampled_from([0.0, 0.3, 0.45, 0.5, 0.6, 0.65, 0.75, 0.8, 0.9, 1.0]),
        min_logprob=st.sampled_from([None, None, -2.4, -1.9, -1.2]),
        max_logprob=st.sampled_from([None, None, -1.5, -0.8]),
    ),
    st.builds(
        Thresholds, quantile=st.floats(0.01, 0.6), rouge=st.sampled_from([None, None, 0.55, 0.8])
    ),
)
RUNS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 3),
        "strange": st.sampled_from([0.0, 0.0, 0.4]),
        "rouge": st.sampled_from([0.7, 0.7, 0.5, 0.85]),
        "targets": st.sampled_from([(14,), (5, 9, 30), (45,)]),
        "likelihood": st.booleans(),
    }
)


def made(out: Path, generate: Generate, values: Any) -> Run:
    more: dict[str, Any] = {"likelihood__quantile": None}
    if values["likelihood"]:
        more = {"likelihood__quantile": 0.2, "likelihood__calibration": 12}
    for target in values["targets"]:
        generate(
            out,
            writer(values["strange"]),
            resume=out.exists(),
            stop__target=target,
            stop__max_rounds=8,
            seed=values["seed"],
            novelty__threshold=values["rouge"],
            **more,
        )
    return open_run(out)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=RUNS, first=THRESHOLDS, second=THRESHOLDS, derived=st.booleans())
@example(
    values={
        "seed": 1,
        "strange": 0.0,
        "rouge": 0.7,
        "targets": (5, 9, 30),
        "likelihood": True,
    },
    first=Thresholds(rouge=0.9),
    second=Thresholds(rouge=0.5),
    derived=True,
)
def test_it_equals_judging_everything(
    tmp_path: Path,
    generate: Generate,
    values: Any,
    first: Thresholds,
    second: Thresholds,
    derived: bool,
) -> None:
    name = "-".join(map(str, values.values()))
    out = tmp_path / name
    run = open_run(out) if out.exists() else made(out, generate, values)
    short, long = both(run, first)
    assert comparable(short) == comparable(long)
    if derived:
        # Judged again and stored: instances of rejected tasks are there, and others wait.
        again = tmp_path / f"{name}-{first}"
        stored = open_run(again) if again.exists() else save_what_if(run, first, again)
        short, long = both(stored, second)
        assert comparable(short) == comparable(long)


def test_a_merged_run(tmp_path: Path, generate: Generate) -> None:
    values = {"strange": 0.1, "rouge": 0.7, "targets": (20,), "likelihood": True}
    runs = [made(tmp_path / f"{n}", generate, {**values, "seed": n}) for n in range(2)]
    merged = merge(runs, tmp_path / "both")
    for wanted in (Thresholds(), Thresholds(rouge=0.6), Thresholds(rouge=0.8, quantile=0.4)):
        short, long = both(merged, wanted)
        assert comparable(short) == comparable(long)
    assert what_if(merged, Thresholds()).changes == []


def test_texts_that_are_split_by_what_they_are_compared_with_go_the_long_way(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"seed": 0, "strange": 1.0, "rouge": 0.7, "targets": (9,), "likelihood": False}
    run = made(tmp_path / "run", generate, values)
    recorded, inputs = stored_config(run), stored_inputs(run)
    old = recorded.model_copy(update={"rules_version": 2})
    with pytest.raises(UnknownRulesError, match="compared with"):
        judge_touched(run, old, old, inputs)

    def refuse(*_: Any) -> WhatIf:
        raise UnknownRulesError("for a test")

    monkeypatch.setattr(whatif, "judge_touched", refuse)
    found = what_if(run, Thresholds(rouge=0.5))
    monkeypatch.undo()
    assert comparable(found) == comparable(what_if(run, Thresholds(rouge=0.5)))
    assert all(isinstance(change, Change) for change in found.changes)
