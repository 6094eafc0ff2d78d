"""KTO: liked answers become likelier than disliked ones; what is read, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.train.data.chosen import read_chosen
from selfinstruct.train.data.labelled import LabelledRow, LabelledSplit, read_labelled
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.kto import KTO, KtoResult, KtoSettings, _arguments, _encode
from selfinstruct.train.runner import train as run_recipe
from tests.train.sft_runs import tokenizer_of

GOOD, BAD = ("red", "blue", "green"), ("no dog", "a cat")


def row(number: int) -> LabelledRow:
    liked = number % 2 == 0
    turns = (Message(role="user", content=f"Name colour {number}."),)
    return LabelledRow(f"r{number}", turns, (GOOD if liked else BAD)[number % 2], liked)


SPLIT = LabelledSplit([row(n) for n in range(32)], [row(n) for n in range(32, 48)])


def train(model: LocalModel, out: Path, **settings: Any) -> KtoResult:
    options = {"learning_rate": 0.01, "num_train_epochs": 5, "bf16": False}
    how = KtoSettings(max_length=256, patience=0, **settings, options=options)
    return run_recipe(KTO, Job(SPLIT, model, out, how), lambda _: None)


def log_odds(folder: Path) -> float:
    """Mean log-probability of a liked answer less that of a disliked one, in nats."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    from selfinstruct.train.data.encode import prepare_tokenizer

    prepare_tokenizer(tokenizer)

    def logprob(answer: str) -> float:
        turns = [{"role": "user", "content": "Name colour 40."}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
        ids = [*prompt, *tokenizer.encode(answer + tokenizer.eos_token, add_special_tokens=False)]
        with torch.inference_mode():
            logits = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = range(len(prompt), len(ids))
        return sum(float(logits[place - 1, ids[place]]) for place in places)

    return logprob(GOOD[0]) - logprob(BAD[1])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_liked_answers_become_likelier(model: LocalModel, tmp_path: Path, method: str) -> None:
    before = log_odds(model.path)
    result = train(model, tmp_path / "out", method=method)
    assert log_odds(tmp_path / "out") > before + 1
    _, liked, disliked = result.rewards[-1]
    assert liked > 0 > disliked
    assert (result.liked, result.disliked, result.held_out) == (16, 16, 16)
    assert json.loads((tmp_path / "out" / "training.json").read_text())["objective"] == "kto"


def test_the_rarer_kind_weighs_more(model: LocalModel) -> None:
    rows = [row(2 * n) for n in range(12)] + [row(2 * n + 1) for n in range(4)]
    settings = KtoSettings(max_length=256)
    examples = _encode(LabelledSplit(rows, []), tokenizer_of(model), settings)
    fields = _arguments(settings, examples)
    assert (fields["desirable_weight"], fields["undesirable_weight"]) == (1.0, 3.0)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_labels_and_pairs_are_read(tmp_path: Path) -> None:
    labels = written(
        tmp_path / "labels.jsonl",
        [
            {"prompt": "A?", "completion": "yes", "label": True},
            {"prompt": "A?", "completion": "no", "label": False},
            {"prompt": "B?", "completion": "both", "label": True},
            {"prompt": "B?", "completion": "both", "label": False},
        ],
    )
    split = read_labelled(labels, held_out=0.0)
    assert [(row.answer, row.liked) for row in split.train] == [("yes", True), ("no", False)]
    assert split.dropped == Counter({"liked_and_disliked": 1})
    pairs = written(
        tmp_path / "pairs.jsonl",
        [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(4)],
    )
    split = read_labelled(pairs, held_out=0.25)
    assert [(row.answer, row.liked) for row in split.train] == [("yes", True), ("no", False)] * 3
    assert [(row.answer, row.liked) for row in split.held_out] == [("yes", True), ("no", False)]


def test_too_few_of_a_kind_and_a_batch_of_one(
    model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"{n}?", "completion": "yes", "label": n != 3} for n in range(20)]
    data = written(tmp_path / "labels.jsonl", rows)
    arguments = ["train", "kto", "--data", str(data), "--model", str(model.path)]
    arguments += ["--out", str(tmp_path / "out")]
    assert cli(arguments) == 2
    assert "disliked answers to train on are too few" in " ".join(capfd.readouterr().err.split())
    assert cli([*arguments, "--set", "per_device_train_batch_size=1"]) == 2
    assert "give 2 or more" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_chosen_answers_are_imitated(tmp_path: Path) -> None:
    pairs = [
        {"prompt": "A?", "chosen": "yes", "rejected": "no"},
        {"prompt": "A?", "chosen": "yes", "rejected": "never"},
        {"prompt": "B?", "chosen": "sure", "rejected": "no"},
    ]
    file = written(tmp_path / "pairs.jsonl", pairs)
    data, held = read_chosen(file, held_out=0.5)
    assert [(row.users, row.answer) for row in data.rows] == [(["A?"], "yes")]
    assert [(row.users, row.answer) for row in held] == [(["B?"], "sure")]
    tasks = written(tmp_path / "tasks.jsonl", [{"prompt": "A?", "completion": "yes"}])
    with pytest.raises(ConfigError, match="leave --field out"):
        read_chosen(tasks)
