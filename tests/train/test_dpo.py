"""DPO on a tiny model: what is learnt, resume, degenerate data."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.arguments import trl_arguments
from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint
from selfinstruct.train.data.encode_pairs import EncodedPair, encode_pairs
from selfinstruct.train.data.preference_rows import PreferenceSplit
from selfinstruct.train.health.verdict import Trouble
from selfinstruct.train.recipe import Examples, Job
from selfinstruct.train.recipes.dpo import DPO, HEALTH, PAGE, DpoResult, DpoSettings
from selfinstruct.train.watching import TrainProgress
from tests.train.dpo_runs import ROWS, SPLIT, row, train
from tests.train.tiny import tiny_model


@dataclass(frozen=True)
class Trained:
    model: LocalModel
    out: Path
    result: DpoResult
    events: list[TrainProgress]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("dpo")
    model, out = tiny_model(folder / "tiny"), folder / "out"
    events: list[TrainProgress] = []
    return Trained(model, out, train(model, out, listen=events.append), events)


def test_what_is_preferred_is_learnt_and_watched(whole: Trained) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, result, events = whole.out, whole.result, whole.events
    health = result.health
    assert (result.train_pairs, result.held_out_pairs, health.pairs) == (32, 32, 32)
    assert health.accuracy.low > 0.5
    assert health.margin.low > 0
    assert health.rejected.mean < 0
    # Before the first step the policy is its reference: no margin, no divergence.
    first, last = result.history[0], result.history[-1]
    assert (first.step, first.margin, first.divergence) == (0, 0.0, 0.0)
    assert first.accuracy == 0.5
    assert first.loss == pytest.approx(math.log(2), abs=1e-6)
    assert last.divergence > 0
    assert [point.step for point in result.history] == [0, 4, 8][: len(result.history)]
    assert events[-1].tokens == result.tokens > 0
    told = json.loads((out / "training.json").read_text())
    assert told["objective"] == "dpo"
    assert told["health"] == json.loads((out / HEALTH).read_text())
    assert "<svg" in (out / PAGE).read_text()
    assert not (out / CHECKPOINTS).exists()
    # What was saved is the policy: the held-out margins follow from its own weights.
    tokenizer = AutoTokenizer.from_pretrained(out)
    pairs = encode_pairs(SPLIT.held_out, tokenizer, max_length=256, dropped=Counter())
    saved, before = (AutoModelForCausalLM.from_pretrained(path) for path in (out, whole.model.path))
    margins = [
        0.1
        * sum(
            sign * (_logprob(saved, one.prompt_ids, ids) - _logprob(before, one.prompt_ids, ids))
            for sign, ids in ((1, one.chosen_ids), (-1, one.rejected_ids))
        )
        for one in pairs
    ]
    assert health.margin.mean == pytest.approx(sum(margins) / len(margins), abs=1e-3)


def _logprob(network: Any, prompt: list[int], answer: list[int]) -> float:
    import torch

    with torch.no_grad():
        words = network(torch.tensor([prompt + answer])).logits[0].float().log_softmax(-1)
    return sum(float(words[len(prompt) + n - 1, token]) for n, token in enumerate(answer))


def test_killed_and_resumed_ends_as_if_it_had_not_been(
    whole: Trained, model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"

    def stop(event: TrainProgress) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop)
    assert last_checkpoint(out / CHECKPOINTS) is not None
    with pytest.raises(ConfigError, match="--resume continues"):
        train(model, out)
    with pytest.raises(ConfigError, match="other values of beta"):
        train(model, out, resume=True, beta=0.5)

    def refuse(*_: Any) -> None:
        raise AssertionError("the reference was computed before")

    monkeypatch.setattr("trl.DPOTrainer.compute_ref_log_probs", refuse)
    again = train(model, out, resume=True)
    assert again.history[-1].step == whole.result.history[-1].step
    assert again.losses[-1][1] == pytest.approx(whole.result.losses[-1][1], abs=1e-4)
    assert again.health.margin.mean == pytest.approx(whole.result.health.margin.mean, abs=1e-3)
    assert [point.step for point in again.history] == [point.step for point in whole.result.history]


def test_a_lost_history_is_said_and_not_begun_in_the_middle(
    model: LocalModel, tmp_path: Path
) -> None:
    def stop(event: TrainProgress) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop)
    (out / CHECKPOINTS / "history.json").unlink()
    with pytest.raises(TrainError, match=r"history.json: is gone.*another --out"):
        train(model, out, resume=True)


def test_a_step_has_eight_pairs_unless_told_otherwise(model: LocalModel, tmp_path: Path) -> None:
    def sizes(**options: Any) -> tuple[int, int]:
        job = Job(SPLIT, model, tmp_path, DpoSettings(options=options))
        pairs = [EncodedPair("p", [1, 2], [3], [4], 1.0)] * 100
        found = trl_arguments(DPO, job, Examples(pairs, pairs[:10], {}, {}), options)
        return found["per_device_train_batch_size"], found["gradient_accumulation_steps"]

    assert math.prod(sizes()) == 8
    # Whatever the machine: what a user gives is multiplied alike.
    assert sizes(per_device_train_batch_size=3) == (3, 2)
    assert sizes(per_device_train_batch_size=3, gradient_accumulation_steps=5) == (3, 5)


def test_flipped_training_labels_are_said(model: LocalModel, tmp_path: Path) -> None:
    flipped = PreferenceSplit([row(n, flipped=True) for n in range(32)], SPLIT.held_out)
    health = train(model, tmp_path / "out", flipped).health
    assert Trouble.BELOW_CHANCE in [one.trouble for one in health.warnings]


def test_all_weights_and_other_losses(model: LocalModel, tmp_path: Path) -> None:
    result = train(
        model,
        tmp_path / "out",
        method="full",
        loss_type=("sigmoid", "sft"),
        options={"num_train_epochs": 1},
    )
    assert result.history[0].divergence == pytest.approx(0.0, abs=1e-9)
    assert result.history[-1].divergence > 0


def test_no_pair_is_held_out(model: LocalModel, tmp_path: Path) -> None:
    result = train(
        model, tmp_path / "out", PreferenceSplit(ROWS[:16], []), options={"num_train_epochs": 1}
    )
    assert result.health.warnings[0].trouble is Trouble.FEW
    assert len(result.history) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 24}, "0 of 32 pairs have at most 24 tokens"),
        ({"options": {"warp": 9}}, "has no such field"),
        ({"loss_type": ("dice",)}, "--loss-type dice: is none of TRL's"),
        ({"options": {"beta": 0.5}}, "beta: set by selfinstruct itself"),
    ],
)
def test_what_cannot_be_trained(
    model: LocalModel, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(model, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
