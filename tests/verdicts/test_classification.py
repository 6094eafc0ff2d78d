"""Whether a task is classification, on instructions of known kinds.

Every second line of the data, from the first on, was used to write the rules; the others were not.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfinstruct.common.records import ACCEPTED, Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.prompts import load_prompts
from selfinstruct.prompts.kinds import kind_by_words
from selfinstruct.store import Run
from selfinstruct.verdicts.classification import CLASSIFIES, label_odds
from selfinstruct.verdicts.replay import replay
from tests.generate.test_probe import Generate

DATA = Path(__file__).parents[1] / "data" / "classification.jsonl"
PROMPTS = load_prompts()
NO_WORDS = replace(PROMPTS, kind_rules=())
classifies = CLASSIFIES.at(3)


def answer(text: str, *logprobs: float) -> Completion:
    request = Request("x", "x", Stage.CLASSIFY, Reading(Form.LABEL), "", SamplingConfig())
    known = tuple(logprobs) or None
    ids = tuple(range(len(logprobs)))
    width = len(text)
    starts = tuple(0 if i == 0 else width for i in ids)
    ends = tuple(width for _ in ids)
    return Completion(request, text, ids, known, starts, ends, "stop", 1)


def wrong_share(pairs: list[tuple[str, bool]]) -> float:
    wrong = sum(classifies(text, None, [], PROMPTS) is not kind for text, kind in pairs)
    return wrong / len(pairs)


def test_instructions_of_known_kinds() -> None:
    rows = [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]
    pairs = [(row["instruction"], row["is_classification"]) for row in rows]
    assert len(pairs) == 200
    assert sum(kind for _, kind in pairs) == 100
    assert wrong_share(pairs[::2]) <= 0.02
    assert wrong_share(pairs[1::2]) <= 0.03


def test_seed_tasks_of_known_kinds() -> None:
    path = shipped_seeds()
    seeds = parse_seeds(read_seed_bytes(path), path)
    pairs = [(seed.instruction, bool(seed.is_classification)) for seed in seeds]
    assert wrong_share(pairs) <= 0.03


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("Write a classifier in Python that sorts mail.", False),
        ("Explain whether cats dream.", False),
        ("Classify the review as good or bad and explain your choice.", False),
        ("Classify the review as good or bad.", True),
        ("Is the given word a verb?", True),
        ("Could you explain how tides work?", False),
        ("Turn the list around. ```python\nprint('yes or no')\n```", False),
        ("Ist der Satz richtig?", None),
        ("这句话是肯定的吗", None),
    ],
)
def test_the_words_of_an_instruction(instruction: str, kind: bool | None) -> None:
    assert kind_by_words(instruction, PROMPTS.kind_rules) is kind


def test_an_endless_instruction_costs_no_endless_search() -> None:
    for text in ("a, " * 50_000, "(a, " * 50_000, "is or " * 50_000, '"a" ' * 50_000):
        kind_by_words(text, PROMPTS.kind_rules)


def test_log_odds_of_an_answer() -> None:
    # p = 0.8: ln(0.8 / 0.2) = 1.386
    assert label_odds(answer(" label", -0.22314), PROMPTS.markers) == pytest.approx(1.386, abs=1e-3)
    assert label_odds(answer(" text", -0.22314), PROMPTS.markers) == pytest.approx(-1.386, abs=1e-3)
    # The second token, of the end, does not count.
    assert label_odds(answer(" text", -0.22314, -3.0), PROMPTS.markers) == pytest.approx(
        -1.386, abs=1e-3
    )
    assert label_odds(answer(" text", -2.0), PROMPTS.markers) == 0
    assert label_odds(answer(" "), PROMPTS.markers) is None


def test_a_model_that_calls_everything_a_label_is_not_believed() -> None:
    sure, surer = answer(" label", -0.2), answer(" label", -0.01)
    references = [(True, surer), (False, sure)]
    assert not classifies("Erkläre das Wetter.", sure, references, NO_WORDS)
    assert classifies("Ist der Satz richtig?", surer, references, NO_WORDS)
    # It does not tell the kinds apart at all.
    assert not classifies("Ist der Satz richtig?", sure, [(True, sure), (False, sure)], NO_WORDS)


def test_answers_without_log_probabilities_still_count() -> None:
    references = [(True, answer(" label")), (False, answer(" text"))]
    assert classifies("Ist der Satz richtig?", answer(" label"), references, NO_WORDS)
    assert not classifies("Ist der Satz richtig?", answer(" text"), references, NO_WORDS)


def test_older_runs_take_the_answer_alone() -> None:
    older = CLASSIFIES.at(2)
    assert older("Explain the weather.", answer(" Label."), [], PROMPTS)
    assert not older("Classify it as good or bad.", answer(" text"), [], PROMPTS)


def script(request: Request) -> str:
    if request.stage is Stage.PROPOSE:
        first = len(request.parents) + 1
        texts = (
            "Describe the winter in three warm words for the old sailor.",
            "Is the given sentence about apples happy or sad?",
            "Zebras and giraffes, please, on stage tonight with drums.",
        )
        items = [f"{first + i}. {text}" for i, text in enumerate(texts)]
        return "\n".join(items).removeprefix(f"{first}.")
    if request.stage is Stage.CLASSIFY:
        return " text"
    if request.reading.form is Form.OUTPUT_FIRST:
        return " happy\nInput: Apples are red and lovely.\nLabel: sad\nInput: The apples rot."
    return "Output: It was as calm as a lake."


def test_only_what_the_words_leave_open_is_asked_and_replays(
    tmp_path: Path, generate: Generate
) -> None:
    run: Run
    run, _ = generate(tmp_path / "run", script, propose__per_round=1, stop__max_rounds=1)
    rows = run.instructions(0)
    assert [row.is_classification for row in rows] == [False, True, False]
    assert rows[1].verdict == ACCEPTED
    asked = [c.request.about for c in run.completions(0) if c.request.stage is Stage.CLASSIFY]
    own = [about for about in asked if "-k" not in about]
    assert own == [rows[2].id]
    # Tasks of both kinds that are known go with it.
    assert 1 < len(asked) - len(own) <= 8
    assert replay(run) == []
