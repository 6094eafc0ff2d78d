"""Best of k: what is chosen, and the curve of what choosing is worth."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.inputs.own_folders import BEST
from selfinstruct.labellers.base import Scorer
from selfinstruct.labellers.likelihood import LIKELIHOOD
from selfinstruct.labellers.reference import REFERENCE
from selfinstruct.preferences.best_of import Choice, best_of, best_of_curve
from selfinstruct.preferences.folder import read_scored
from selfinstruct.preferences.sample import SampleSettings, prompts_of
from selfinstruct.store import Run
from selfinstruct.train.data.rows import read_rows
from tests.conftest import Generate
from tests.preferences.test_prefer import POLICY, Engines, workplace

HOW = SampleSettings(k=4, temperature=0.9, max_tokens=64, seed=0, scored=True)
CHOICE = Choice(Scorer(LIKELIHOOD), Scorer(REFERENCE))


@pytest.fixture
def run(generate: Generate, tmp_path: Path) -> Run:
    return generate(tmp_path / "run", stop__target=8)[0]


def choose(
    run: Run, out: Path, apart: Engines | None = None, resume: bool = False
) -> dict[str, Any]:
    return best_of(prompts_of(run), POLICY, HOW, CHOICE, workplace(out, apart, resume))


def test_the_best_answer_by_the_scorer_is_a_row_to_train_on(run: Run, tmp_path: Path) -> None:
    report = choose(run, tmp_path / "out")
    answers = read_scored(tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / BEST).read_text().splitlines()]
    prompts = {prompt.user: prompt for prompt in prompts_of(run)}
    assert report["chosen"] == len(rows) == len(prompts)
    for row in rows:
        own = [one for one in answers if one.prompt_id == prompts[row["prompt"]].id and one.text]
        best = max(own, key=lambda one: one.score)
        assert (row["completion"], row["score"]) == (best.text, best.score)
    assert [row.answer for row in read_rows(tmp_path / "out" / BEST).rows] == [
        row["completion"] for row in rows
    ]
    # One answer is worth what answers are worth on average, and the best of all what was chosen.
    references = {prompt.id: prompt.reference for prompt in prompts.values()}
    worth = [rouge_f(references[one.prompt_id], one.text) for one in answers]
    assert report["curve"][0]["mean"] == pytest.approx(fmean(worth))
    chosen = [rouge_f(prompts[row["prompt"]].reference, row["completion"]) for row in rows]
    assert report["curve"][-1]["mean"] == pytest.approx(fmean(chosen))
    assert [point["n"] for point in report["curve"]] == [1, 2, 3, 4]


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 1000), st.floats(0, 1, allow_nan=False)),
            min_size=4,
            max_size=4,
            unique_by=lambda one: one[0],
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_curve_equals_the_mean_over_all_subsets(
    prompts: list[list[tuple[int, float]]],
) -> None:
    scores = [[float(score) for score, _ in own] for own in prompts]
    worth = [[value for _, value in own] for own in prompts]
    found = best_of_curve(scores, worth, 4)
    for n in range(1, 5):
        by_hand = fmean(fmean(max(subset)[1] for subset in combinations(own, n)) for own in prompts)
        assert found[n - 1].mean == pytest.approx(by_hand)
        assert found[n - 1].divergence == pytest.approx(math.log(n) - (n - 1) / n)
    assert (found[0].gain, found[0].gain_low, found[0].gain_high) == (0, 0, 0)


def test_an_unscored_answer_is_chosen_last_and_an_unknown_worth_leaves_the_prompt_out() -> None:
    curve = best_of_curve([[math.nan, 1.0], [3.0, 2.0]], [[5.0, 7.0], [math.nan, 1.0]], 2)
    assert [point.mean for point in curve] == [6.0, 7.0]
    assert best_of_curve([[1.0, 2.0]], [[math.nan, 1.0]], 2) == []


def test_the_scorer_that_chooses_does_not_measure() -> None:
    with pytest.raises(ConfigError, match="--measure likelihood: is the labeller that chooses"):
        Choice(Scorer(LIKELIHOOD), Scorer(LIKELIHOOD))
    with pytest.raises(ConfigError, match="--labeller reference: would choose by the solution"):
        Choice(Scorer(REFERENCE), Scorer(LIKELIHOOD))


def test_killed_and_resumed_chooses_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "selfinstruct.preferences.sample.sample_answers.__kwdefaults__", {"batch_size": 2}
    )
    choose(run, tmp_path / "whole")
    with pytest.raises(EngineError):
        choose(run, tmp_path / "killed", Engines(die_after=30))
    with pytest.raises(ConfigError, match="--resume continues"):
        choose(run, tmp_path / "killed")
    choose(run, tmp_path / "killed", resume=True)
    for name in (BEST, "report.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
