"""Labellers are a list: one that is added is asked for by name, and nothing else changes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.labellers.base import (
    Labelled,
    Labelling,
    Processes,
    ScoredAnswer,
    Scorer,
    TaskPrompt,
    VoteStore,
    by_prompt,
)
from selfinstruct.labellers.duels import TEMPLATE
from selfinstruct.labellers.expected import EXPECTED
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.likelihood import LIKELIHOOD
from selfinstruct.labellers.reference import REFERENCE
from selfinstruct.labellers.registry import LABELLERS, labeller_of
from selfinstruct.labellers.reward import REWARD
from selfinstruct.preferences.sample import require_references
from tests.conftest import Generate

HERE = Path(__file__).resolve().parent
MODEL = LocalModel("model", Path("model"), "digest", {})
REWARD_MODEL = LocalModel(
    "reward",
    Path("reward"),
    "third",
    {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
)
PROMPTS = [TaskPrompt("p", "p", "Say so.", "it is so"), TaskPrompt("q", "q", "Count.", "one two")]
ANSWERS = by_prompt(
    ["p", "q"],
    [
        ScoredAnswer("p-0", "p", "it is so", 3, True),
        ScoredAnswer("p-1", "p", "", 0, True),
        ScoredAnswer("q-0", "q", "three", 1, True),
    ],
)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("no model is to be asked")


def label(scorer: Scorer, processes: Processes | None = None) -> Labelled:
    return scorer.labeller.label(
        Labelling(
            prompts=PROMPTS,
            answers=ANSWERS,
            processes=processes or Processes(refuse, refuse),
            votes=VoteStore(list, refuse),
            advance=lambda *_: None,
            model=scorer.model,
            template=scorer.template,
        )
    )


def test_a_labeller_that_is_added_needs_nothing_else(
    generate: Generate, tmp_path: Path, model_folder: Path
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=14)
    command = [sys.executable, "-m", "tests.labellers.throwaway_labeller"]
    done = subprocess.run(
        [*command, str(tmp_path / "out"), str(run.path), str(model_folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent.parent,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["codes"] == [0, 0, 0, 2, 2], done.stderr
    assert result["docs"]
    assert result["asked"] == {"labeller": "shortest", "labelled_by": None, "judge_template": None}
    assert result["pairs"] >= 8
    assert result["margins"]
    assert result["labellers"] == ["shortest"]
    assert result["chosen"]
    assert result["reports"] == [["shortest", "reference", True], ["likelihood", "shortest", True]]
    assert result["scored"] == [False, False, True]
    names = [*(labeller.name for labeller in LABELLERS), "shortest"]
    assert "shortest (the fewest words)" in done.stdout
    assert "--judge: it is not used; label by `judge`" in done.stderr
    message = f"no labeller 'dice'; give one of: {', '.join(names)}"
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_whether_a_refusal_is_due() -> None:
    prompts = [replace(PROMPTS[0], expect="decline"), replace(PROMPTS[1], expect="answer")]
    answers = by_prompt(
        ["p", "q"],
        [
            ScoredAnswer("p-0", "p", "I can't help with that.", 5, True),
            ScoredAnswer("p-1", "p", "Sure.", 1, True),
            ScoredAnswer("q-0", "q", "I can't help with that.", 5, True),
        ],
    )
    processes = Processes(refuse, refuse)
    found = EXPECTED.label(
        Labelling(prompts, answers, processes, VoteStore(list, refuse), lambda *_: None)
    )
    assert found.scores(answers) == {"p": [1.0, 0.0], "q": [0.0]}
    require_references([Scorer(EXPECTED)], prompts)
    with pytest.raises(ConfigError, match=r"expected: 2 of 2 tasks do not say .*: p\); give"):
        require_references([Scorer(EXPECTED)], PROMPTS)
    # A folder that was made before there was such a column is still the same.
    assert "expect" not in PROMPTS[0].compared
    assert prompts[0].compared["expect"] == "decline"


def test_the_list() -> None:
    names = [labeller.name for labeller in LABELLERS]
    assert names[:4] == ["likelihood", "judge", "reward", "reference"]
    assert [labeller_of(name).name for name in names] == names
    assert [
        labeller.name
        for labeller in LABELLERS
        if labeller.name in names[:4] and labeller.may_choose
    ] == names[:3]
    with pytest.raises(ConfigError, match="no labeller 'dice'; give one of: likelihood, judge"):
        labeller_of("dice")


def test_what_a_folder_is_resumed_by() -> None:
    """Literals of folders that were made before there was a list."""
    judged = Scorer(JUDGE, MODEL)
    assert judged.labelled_by("bfloat16") == "digest bfloat16"
    assert judged.template == TEMPLATE
    assert Scorer(JUDGE, MODEL, "mine").template == "mine"
    assert Scorer(REWARD, REWARD_MODEL, "mine").labelled_by("bfloat16") == "third"
    assert Scorer(REWARD, REWARD_MODEL, "mine").template is None
    for labeller in (LIKELIHOOD, REFERENCE):
        assert Scorer(labeller).labelled_by("float32") is None
        assert Scorer(labeller).template is None


def test_scores_are_those_of_the_answers_that_were_given() -> None:
    labelled = label(Scorer(REFERENCE))
    # The accepted output stands first among the answers, and has no place among their scores.
    assert [answer.id for answer in labelled.answers["p"]] == ["p-reference", "p-0", "p-1"]
    assert labelled.scores(ANSWERS) == {"p": [1.0, 0.0], "q": [0.0]}
    reference, first, second = labelled.answers["p"]
    assert labelled.may_pair(reference, first)
    assert not labelled.may_pair(first, second)
    assert labelled.margin_of(reference, second) == 1.0


def test_a_reward_model_is_not_asked_about_an_empty_answer() -> None:
    asked = []

    def alone(work: object, advance: object, name: str) -> list[float]:
        asked.append((work, name))
        return [0.5, -1.5]

    scores = label(Scorer(REWARD, REWARD_MODEL), Processes(refuse, alone)).scores(ANSWERS)
    assert (scores["p"][0], scores["q"]) == (0.5, [-1.5])
    assert math.isnan(scores["p"][1])
    [(_, name)] = asked
    assert name == "reward"
