"""Trainings on conversations, by models whose turns end with a token of their own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.labellers.reward import AnsweredConversation, reward_scores
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.data.rows import Split
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardSettings
from selfinstruct.train.runner import train as run_recipe
from tests.train import dpo_runs, sft_runs
from tests.train.conventions import CONVENTIONS
from tests.train.sft_runs import TALKS, tokenizer_of
from tests.train.test_conversations import turn
from tests.train.tiny import tiny_model

QUICK: dict[str, Any] = {"num_train_epochs": 1, "bf16": False}
# Of each way to end a turn, one that is not the tokenizer's own, and models without a template.
NAMES = ("Qwen 2.5, base", "Gemma 2", "Phi", "no template")


def model_for(name: str, folder: Path) -> LocalModel:
    kind = CONVENTIONS[name]
    return tiny_model(
        folder, template=kind.template, bos=kind.bos, eos=kind.eos, control=kind.control
    )


def ends_of(out: Path) -> tuple[str, Any, int]:
    """The token that ends a sequence of a saved model, by tokenizer and by generation config."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out)
    network = AutoModelForCausalLM.from_pretrained(out)
    return tokenizer.eos_token, network.generation_config.eos_token_id, tokenizer.eos_token_id


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fine_tuned_ends_its_answers_as_its_template_does(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_for(name, tmp_path / "base")
    kind = CONVENTIONS[name]
    with caplog.at_level(logging.WARNING):
        result = sft_runs.train(
            model,
            tmp_path / "out",
            Split(TALKS[:10], TALKS[10:], []),
            max_length=512,
            options=QUICK,
        )
    assert (result.train_rows, result.validation_rows) == (10, 2)
    assert (f"answers end with {kind.ends!r}" in caplog.text) is (kind.eos != kind.ends)
    eos, configured, id = ends_of(tmp_path / "out")
    assert (eos, configured) == (kind.ends, id)


def pair(number: int) -> PreferenceRow:
    messages = TALKS[number % 12].messages[:-1]
    return PreferenceRow(f"r{number}", f"p{number}", messages, "red", f"no dog {number % 3}")


PAIRS = [pair(n) for n in range(24)]
SPLIT = PreferenceSplit(PAIRS[:16], PAIRS[16:])


@pytest.mark.parametrize("name", CONVENTIONS)
def test_pairs_of_conversations_are_encoded_as_the_template_writes_them(
    name: str, tmp_path: Path
) -> None:
    from collections import Counter

    from tests.train.test_conversations import tokenizer_for

    kind = CONVENTIONS[name]
    tokenizer = tokenizer_for(name)
    pairs = encode_pairs(PAIRS[:3], tokenizer, max_length=512, dropped=Counter())
    for row, encoded in zip(PAIRS[:3], pairs, strict=True):
        turns = list(row.messages)
        if name in ("Gemma 2", "Mistral") and turns[0]["role"] == "system":
            first = f"{turns[0]['content']}\n\n{turns[1]['content']}"
            turns = [turn("user", first), *turns[2:]]
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        assert encoded.prompt_ids == tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(encoded.chosen_ids) == f"red{kind.ends}"
        assert tokenizer.decode(encoded.rejected_ids) == f"{row.rejected}{kind.ends}"


def test_dpo_on_conversations(tmp_path: Path) -> None:
    model = model_for("Gemma 2", tmp_path / "base")
    result = dpo_runs.train(
        model, tmp_path / "out", SPLIT, max_length=512, options={"num_train_epochs": 6}
    )
    assert (result.train_pairs, result.held_out_pairs, dict(result.dropped)) == (16, 8, {})
    assert result.history[-1].margin > result.history[0].margin == pytest.approx(0, abs=1e-5)
    eos, configured, id = ends_of(tmp_path / "out")
    assert (eos, configured) == ("<end_of_turn>", id)


def test_a_reward_model_scores_conversations_as_it_learnt_them(tmp_path: Path) -> None:
    model = model_for("Qwen 2.5, base", tmp_path / "base")
    how = RewardSettings(max_length=512, options={**QUICK, "learning_rate": 5e-3})
    out = tmp_path / "out"
    result = run_recipe(REWARD, Job(RewardData(SPLIT), model, out, how), lambda event: None)
    reward = LocalModel("reward", out, "digest", {**model.config, **_config(out)})
    answered = [
        AnsweredConversation(row.messages, answer)
        for row in SPLIT.held_out
        for answer in (row.chosen, row.rejected)
    ]
    scores = reward_scores(reward, answered)
    margins = [good - bad for good, bad in zip(scores[::2], scores[1::2], strict=True)]
    assert result.held_out.margin == pytest.approx(sum(margins) / len(margins), abs=1e-4)


def _config(out: Path) -> dict[str, Any]:
    import json

    loaded: dict[str, Any] = json.loads((out / "config.json").read_text())
    return loaded


def test_a_choice_of_the_token_that_ends_answers_is_saved(tmp_path: Path) -> None:
    model = model_for("Phi", tmp_path / "base")
    out = tmp_path / "out"
    split = Split(TALKS[:8], [], [])
    sft_runs.train(model, out, split, max_length=512, options=QUICK, eos_token="<|endoftext|>")
    eos, configured, id = ends_of(out)
    assert (eos, configured) == ("<|endoftext|>", id)
    with pytest.raises(ConfigError, match="--eos-token '<none>': is not a token"):
        sft_runs.train(model, tmp_path / "other", split, eos_token="<none>")
    assert not (tmp_path / "other").exists()


def test_conversations_over_the_length_are_left_out_and_counted(tmp_path: Path) -> None:
    model = model_for("no template", tmp_path / "base")
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    long = Message(role="user", content="x" * 300)
    row = type(TALKS[0])("long", "x", (long, *TALKS[1].messages[1:]))
    result = sft_runs.train(
        model, tmp_path / "out", Split([row, *TALKS[:6]], [], []), options=QUICK
    )
    assert (result.train_rows, result.too_long) == (6, 1)
