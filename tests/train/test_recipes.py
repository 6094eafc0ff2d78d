"""Recipes and their runner: the list, one more recipe, batches of any shape, no circles."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from selfinstruct.cli.app import app
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import CHECKPOINTS, REPORT
from selfinstruct.train.data.encode import Encoded, dataset_of, prepare_tokenizer
from selfinstruct.train.recipe import Card, Examples, Job, Recipe, Source, Training
from selfinstruct.train.recipes import RECIPES
from selfinstruct.train.recipes.sft import SFT, SftSettings
from selfinstruct.train.reporter import _first_row, _text, batch_tokens
from selfinstruct.train.runner import train
from selfinstruct.train.watching import TrainProgress
from tests.test_imports import FILES, ROOT, imports
from tests.train.sft_runs import tokenizer_of


def test_the_command_line_offers_the_recipes() -> None:
    [group] = [group for group in app.registered_groups if group.name == "train"]
    assert group.typer_instance is not None
    commands = [command.name for command in group.typer_instance.registered_commands]
    assert commands == [*(recipe.name for recipe in RECIPES), "merge"]


@dataclass(frozen=True)
class EchoResult:
    """A result of a recipe that is made up here."""

    lines: int
    steps: int
    losses: list[tuple[int, float]]


def _encode(lines: list[str], tokenizer: Any, _: SftSettings) -> Examples:
    prepare_tokenizer(tokenizer)
    ids = [tokenizer.encode(line) for line in lines]
    rows = [Encoded(line, row, row) for line, row in zip(lines, ids, strict=True)]
    return Examples(rows[2:], rows[:2], {}, {"lines": lines})


def _result(training: Training[list[str], SftSettings]) -> EchoResult:
    return EchoResult(len(training.examples.train), training.steps, training.losses)


def _card(source: Source, _: SftSettings, result: EchoResult) -> Card:
    rows = {"lines": result.lines}
    return Card("Echo", "echo", "text-generation", source.data.name, rows, {"steps": result.steps})


ECHO: Recipe[list[str], SftSettings, EchoResult] = Recipe(
    name="echo",
    unit="nats per token",
    encode=_encode,
    dataset=dataset_of,
    sequences=SFT.sequences,
    arguments=lambda settings, _: {"max_length": settings.max_length, "num_train_epochs": 1},
    reserved=frozenset({"max_length"}),
    classes=SFT.classes,
    result=_result,
    card=_card,
)
LINES = [f"Line {n}." for n in range(10)]


def test_the_runner_trains_by_a_recipe_that_it_does_not_know(
    model: LocalModel, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    settings = SftSettings(max_length=64, options={"bf16": False})
    events: list[TrainProgress] = []
    job = Job(LINES, model, out, settings, source=Source(Path("lines.txt")))
    result = train(ECHO, job, events.append)
    assert result.lines == 8
    assert events[-1].step == result.steps > 0
    assert events[-1].tokens == sum(len(line) for line in LINES[2:])  # a token is a character
    AutoModelForCausalLM.from_pretrained(out)
    assert json.loads((out / REPORT).read_text())["steps"] == result.steps
    card = (out / "README.md").read_text()
    assert "# Echo" in card
    assert "| trained on | lines.txt |\n| lines | 8 |\n| method | lora, r 16 |" in card
    assert not (out / CHECKPOINTS).exists()
    reserved = replace(settings, options={"max_length": 5})
    with pytest.raises(ConfigError, match="max_length: set by selfinstruct itself"):
        train(ECHO, replace(job, out=tmp_path / "other", settings=reserved), events.append)


@pytest.mark.parametrize(
    ("batch", "tokens"),
    [
        ({"input_ids": torch.ones(2, 5, dtype=torch.long)}, 10),
        ({"input_ids": torch.ones(7, dtype=torch.long), "labels": torch.ones(7)}, 7),
        (
            {
                "input_ids": torch.ones(2, 3, dtype=torch.long),
                "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
            },
            5,
        ),
        (
            {
                "prompt_input_ids": torch.ones(1, 4, dtype=torch.long),
                "prompt_attention_mask": torch.tensor([[0, 1, 1, 1]]),
                "completion_input_ids": torch.ones(1, 2, dtype=torch.long),
                "label": [True],
            },
            5,
        ),
        ([{"prompt": "Name it."}], 0),
        ({"prompt": ["Name it."]}, 0),
    ],
)
def test_tokens_of_a_batch_of_any_shape(batch: Any, tokens: int) -> None:
    assert batch_tokens(batch) == tokens


def test_a_batch_is_named_by_its_beginning(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    ids = torch.tensor([tokenizer.encode("Name it."), tokenizer.encode("Name me.")])
    for batch in ({"input_ids": ids}, {"prompt_input_ids": ids[0], "label": [True]}):
        assert _text(_first_row(batch), tokenizer) == "Name it."
    assert _text(_first_row([{"prompt": "Name it."}]), tokenizer) == "{'prompt': 'Name it.'}"
    assert _text(_first_row({"label": [True]}), tokenizer) == ""


def test_no_file_of_train_imports_itself_by_others() -> None:
    """Also not for its types alone."""
    paths = {path: path.relative_to(ROOT.parent).with_suffix("") for path in FILES}
    names = {path: ".".join(name.parts).removesuffix(".__init__") for path, name in paths.items()}
    graph = {
        name: imports(path) for path, name in names.items() if name.startswith("selfinstruct.train")
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in graph[name] & graph.keys():
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
