"""From nothing to base, SFT and DPO side by side, and what can be done with what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct.common.records import ACCEPTED
from selfinstruct.engines.machine import installed_vllm
from selfinstruct.store import open_run
from tests.real.conftest import Cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]


def test_the_whole_chain_on_a_small_target(
    chain: Path, chain_arguments: list[str], cli: Cli
) -> None:
    """The same command again does nothing."""
    report = json.loads((chain / "report.json").read_text())
    assert list(report["evaluation"]["models"]) == ["base", "sft", "dpo"]
    assert report["dpo"]["health"]["pairs"] == report["preferences"]["pairs"]["held_out"] >= 6
    # Before its first step a policy is its reference.
    history = json.loads((chain / "dpo" / "training.json").read_text())["history"]
    assert (history[0]["margin"], history[0]["divergence"]) == (0.0, 0.0)
    assert history[-1]["divergence"] > 0
    assert "few_held_out" in (chain / "report.html").read_text()
    before = (chain / "stages.json").read_bytes()
    cli(*chain_arguments)
    assert (chain / "stages.json").read_bytes() == before


def test_a_judge_looks_at_the_answers_of_what_was_trained(chain: Path) -> None:
    report = json.loads((chain / "evaluation" / "report.json").read_text())
    pairs = {(wins["a"], wins["b"]) for wins in report["wins"]}
    assert pairs == {("sft", "base"), ("dpo", "base"), ("dpo", "sft")}
    for wins in report["wins"]:
        assert wins["n"] == 12
        assert 0 <= wins["rate"] <= 1
    assert 1 < report["models"]["sft"]["perplexity"] < 10_000


def test_a_trained_model_loads_and_stops(chain: Path) -> None:
    """In transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chain / "sft")
    network = AutoModelForCausalLM.from_pretrained(chain / "sft")
    messages = [{"role": "user", "content": "Name a colour."}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = network.generate(**prompt, max_new_tokens=120, do_sample=False)[0].tolist()
    assert tokenizer.eos_token_id in written[prompt["input_ids"].shape[1] :]


def test_a_trained_model_writes_the_next_run(chain: Path, cli: Cli, tmp_path: Path) -> None:
    """In vLLM, as the model of `generate`."""
    grown = tmp_path / "next"
    small = ("--set", "propose.per_round=4", "--set", "instances.sampling.max_tokens=128")
    cli("generate", "--model", str(chain / "sft"), "--target", "2", "--out", str(grown), *small)
    made = open_run(grown)
    rows = [row for n in made.rounds() for row in made.instructions(n)]
    assert sum(row.verdict == ACCEPTED for row in rows) == 2
