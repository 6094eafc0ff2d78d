"""Classification tasks: which are asked label first, and which label their examples open with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.common.records import ACCEPTED, Form, Kind, Request, Stage
from selfinstruct.config.values import build_config
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.calibrate import calibration_requests
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.inputs.run_inputs import parse_inputs
from selfinstruct.prompts import load_prompts
from selfinstruct.store import Run
from selfinstruct.verdicts.candidates import kind_written
from selfinstruct.verdicts.replay import replay
from tests.conftest import draw, make_seed

Generate = Callable[..., tuple[Run, str]]
ALONE = "Is a {} tomato number{} a fruit or a vegetable?"
GIVEN = "Decide whether the {} review number{} is calm or wild."


def script(request: Request) -> str:
    if request.stage is Stage.PROPOSE:
        first = len(request.parents) + 1
        words = [
            f"w{draw(request, str(n), 9000)} v{draw(request, f'v{n}', 9000)}" for n in range(4)
        ]
        kinds = (ALONE, GIVEN, ALONE, GIVEN)
        items = [
            kind.format(word, n) for n, (kind, word) in enumerate(zip(kinds, words, strict=True))
        ]
        lines = [f"{first + place}. {item}" for place, item in enumerate(items)]
        return "\n".join(lines).removeprefix(f"{first}.")
    if request.reading.form is Form.OUTPUT_FIRST:
        text = " calm\nInput: A quiet day.\nLabel: wild\nInput: A storm at sea."
        return text if request.reading.opened else f"Label:{text}"
    return "Output: A fruit."


@pytest.mark.parametrize(("version", "kind"), [(3, Kind.LABEL), (4, Kind.OUTPUT)])
def test_a_seed_without_an_input_is_calibrated_as_it_is_asked(version: int, kind: Kind) -> None:
    seed = make_seed(0, instruction="Is a tomato a fruit?", is_classification=True)
    seed["instances"] = [{"input": "", "output": "yes"}]
    lines = [seed, *(make_seed(number) for number in range(1, 9))]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    inputs = parse_inputs({"seeds.jsonl": text.encode()}, load_prompts())
    engine = ScriptedEngine(lambda _: "")
    modes = {"propose": "base", "classify": "base", "instances": "base"}
    builder = RequestBuilder(
        build_config({"rules_version": version}, "test"), inputs, engine, modes
    )
    requests = calibration_requests(inputs.seeds[:2], builder, 8)
    about = [one for one in requests if one.parents == (inputs.seeds[0].pool_id,)]
    outputs = [one for one in about if one.reading.form is not Form.LIST]
    assert [kind_written(one.reading) for one in outputs] == [kind]


def asked(run: Run, template: str) -> list[str]:
    """The prompts of a template."""
    return [
        str(one.prompt)
        for number in run.rounds()
        for one in run.completions(number)
        if one.request.template == template
    ]


def make(generate: Generate, out: Path, version: int) -> Run:
    values = {"novelty__threshold": 0.99, "stop__target": 30, "rules_version": version}
    return generate(out, script, model__prompting="base", **values)[0]


@pytest.mark.parametrize(("version", "is_alone"), [(3, False), (4, True)])
def test_a_question_without_an_input_is_answered(
    tmp_path: Path, generate: Generate, version: int, is_alone: bool
) -> None:
    run = make(generate, tmp_path / "run", version)
    label_first = asked(run, "output_first.base.jinja")
    assert any("tomato" in prompt.rsplit("Task:", 1)[1] for prompt in label_first) is not is_alone
    rows = [row for number in run.rounds() for row in run.instances(number)]
    answers = {(row.input, row.output) for row in rows if row.verdict == ACCEPTED}
    assert (("", "A fruit.") in answers) is is_alone
    assert ("A quiet day.", "calm") in answers
    tasks = [row for number in run.rounds() for row in run.instructions(number)]
    assert {row.is_classification for row in tasks if row.verdict == ACCEPTED} == {True}
    assert replay(run) == []


@pytest.mark.parametrize(("version", "orders"), [(3, 1), (4, 2)])
def test_the_labels_of_the_examples_come_in_two_orders(
    tmp_path: Path, generate: Generate, version: int, orders: int
) -> None:
    """So that half of the tasks are shown the one label first, and half the other."""
    run = make(generate, tmp_path / "run", version)
    prompts = asked(run, "output_first.base.jinja")
    shown = Counter(prompt.rsplit("Task:", 1)[0] for prompt in prompts)
    assert len(shown) == orders
    assert min(shown.values()) > 3
    assert replay(run) == []
