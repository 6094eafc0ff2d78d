"""RL on a tiny model: what is rewarded is learnt and watched, resume, hacking, degenerate data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint
from selfinstruct.train.data.prompts import PromptSplit
from selfinstruct.train.health.verdict import Trouble
from selfinstruct.train.recipes.dpo import HEALTH, PAGE
from selfinstruct.train.recipes.rl import RlResult
from selfinstruct.train.watching import TrainProgress
from tests.train.rl_runs import BETA, LETTERS, OTHERS, PROMPTS, SPLIT, train
from tests.train.tiny import tiny_model


@dataclass(frozen=True)
class Trained:
    model: LocalModel
    out: Path
    result: RlResult
    events: list[TrainProgress]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("rl")
    model, out = tiny_model(folder / "tiny"), folder / "out"
    events: list[TrainProgress] = []
    result = train(model, out, listen=events.append, steps=16)
    return Trained(model, out, result, events)


def test_what_is_rewarded_is_learnt_and_watched(whole: Trained) -> None:
    from transformers import AutoModelForCausalLM

    out, result = whole.out, whole.result
    health = result.health
    assert (result.train_prompts, result.held_out_prompts, health.prompts) == (16, 32, 32)
    assert health.gain.low > 0
    first, last = result.history[0], result.history[-1]
    # Before the first step the policy is its reference.
    assert (first.step, first.divergence) == (0, 0.0)
    assert [point.step for point in result.history] == list(range(0, 17, 2))
    assert last.divergence > 0
    assert last.reward == pytest.approx(health.reward)
    assert last.entropy < first.entropy
    assert whole.events[-1].tokens == result.tokens > 0
    validated = [one for one in whole.events if one.validation_loss is not None]
    assert validated[-1].validation_loss == pytest.approx(-last.objective(BETA))
    assert len(result.trained_rewards) == 16
    told = json.loads((out / "training.json").read_text())
    assert (told["objective"], told["algo"], told["rewards"]) == ("rl", "rloo", [LETTERS])
    assert told["health"] == json.loads((out / HEALTH).read_text())
    assert "<svg" in (out / PAGE).read_text()
    assert not (out / CHECKPOINTS).exists()
    AutoModelForCausalLM.from_pretrained(out)


def test_what_was_saved_is_the_policy(whole: Trained) -> None:
    """Its own fresh answers have the reward of the last point."""
    from contextlib import nullcontext

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfinstruct.train.data.prompts import encode_prompts
    from selfinstruct.train.health.fresh import fresh_samples
    from tests.train.rl_runs import letters

    tokenizer = AutoTokenizer.from_pretrained(whole.out)
    policy = AutoModelForCausalLM.from_pretrained(whole.out)
    before = AutoModelForCausalLM.from_pretrained(whole.model.path)
    rows, _ = encode_prompts(SPLIT.held_out, tokenizer, max_length=256, room=8)
    samples = fresh_samples(
        policy,
        lambda: nullcontext(before),
        tokenizer,
        [row.ids for row in rows],
        max_tokens=8,
        seed=0,
    )
    texts = tokenizer.batch_decode([list(one.ids) for one in samples], skip_special_tokens=True)
    last = whole.result.history[-1]
    assert sum(letters(texts)) / len(texts) == pytest.approx(last.reward, abs=1e-3)
    divergence = sum(one.divergence for one in samples) / len(samples)
    assert divergence == pytest.approx(last.divergence, rel=1e-2)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_grpo_learns_too(model: LocalModel, tmp_path: Path, method: str) -> None:
    result = train(model, tmp_path / "out", algo="grpo", method=method, steps=16)
    assert result.health.gain.low > 0
    assert result.history[0].divergence == pytest.approx(0.0, abs=1e-6)
    assert json.loads((tmp_path / "out" / "training.json").read_text())["algo"] == "grpo"


def test_all_weights_without_a_penalty(model: LocalModel, tmp_path: Path) -> None:
    """TRL loads no reference then; the watch has its own."""
    result = train(model, tmp_path / "out", method="full", beta=0.0, steps=4)
    assert result.history[0].divergence == pytest.approx(0.0, abs=1e-6)
    assert result.history[-1].divergence > 0


def test_a_larger_beta_stays_nearer_to_the_reference(whole: Trained, tmp_path: Path) -> None:
    near = train(whole.model, tmp_path / "near", steps=16, beta=5.0)
    assert near.history[-1].divergence < 0.8 * whole.result.history[-1].divergence


def test_killed_and_resumed_ends_as_if_it_had_not_been(
    whole: Trained, model: LocalModel, tmp_path: Path
) -> None:
    out = tmp_path / "killed"

    def stop(event: TrainProgress) -> None:
        if event.step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, steps=16)
    assert last_checkpoint(out / CHECKPOINTS) is not None
    with pytest.raises(ConfigError, match="--resume continues"):
        train(model, out, steps=16)
    with pytest.raises(ConfigError, match="other values of beta"):
        train(model, out, resume=True, steps=16, beta=0.5)
    with pytest.raises(ConfigError, match="other values of rewards"):
        train(model, out, resume=True, steps=16, rewards=[f"{LETTERS}@2"])
    again = train(model, out, resume=True, steps=16)
    assert [point.step for point in again.history] == [point.step for point in whole.result.history]
    assert again.history[-1].scores == pytest.approx(whole.result.history[-1].scores, abs=1e-6)
    assert again.tokens == whole.result.tokens


def test_a_lost_history_is_said_and_not_begun_in_the_middle(
    model: LocalModel, tmp_path: Path
) -> None:
    def stop(event: TrainProgress) -> None:
        if event.step == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop)
    (out / CHECKPOINTS / "history.json").unlink()
    with pytest.raises(TrainError, match=r"history.json: is gone.*another --out"):
        train(model, out, resume=True)


def test_hacking_is_named_and_can_end_a_training(model: LocalModel, tmp_path: Path) -> None:
    """The gold score falls by what the reward rises by: the planted case."""
    result = train(model, tmp_path / "whole", gold=OTHERS, steps=16)
    assert Trouble.HACKED in [one.trouble for one in result.health.warnings]
    assert result.health.gold_gain.high < 0
    assert "gold score" in (tmp_path / "whole" / PAGE).read_text()
    stopped = train(model, tmp_path / "stopped", gold=OTHERS, steps=16, stop_on_hacking=True)
    assert stopped.steps < 16
    # Of the policies that were kept, the one with the highest gold score is saved.
    kept = {point.step: point.gold for point in stopped.history[1:]}
    assert stopped.health.gold == max(kept.values())
    named = next(one for one in stopped.health.warnings if one.trouble is Trouble.HACKED)
    assert "saved is the policy of step" in named.found


def test_a_share_of_the_steps_between_evaluations(model: LocalModel, tmp_path: Path) -> None:
    """As `align` asks for it, whatever the number of steps."""
    result = train(model, tmp_path / "out", steps=4, options={"eval_steps": 0.5})
    assert [point.step for point in result.history] == [0, 2, 4]


def test_several_rewards_are_summed_by_weight(model: LocalModel, tmp_path: Path) -> None:
    result = train(
        model, tmp_path / "out", rewards=[f"{LETTERS}@2", "words@-0.25", "likelihood"], steps=2
    )
    point = result.history[-1]
    assert set(point.rewards) == {f"{LETTERS}@2", "words@-0.25", "likelihood"}
    letters, words, likelihood = point.rewards.values()
    assert point.reward == pytest.approx(2 * letters - 0.25 * words + likelihood)
    assert likelihood < 0


def test_no_prompt_is_held_out(model: LocalModel, tmp_path: Path) -> None:
    result = train(model, tmp_path / "out", PromptSplit(PROMPTS[:9], []), steps=3)
    assert result.health.warnings[0].trouble is Trouble.FEW
    assert [point.step for point in result.history] == [0, 3]


def test_fewer_prompts_than_a_step_usually_asks(model: LocalModel, tmp_path: Path) -> None:
    result = train(model, tmp_path / "out", PromptSplit(PROMPTS[:3], PROMPTS[3:9]), steps=2, k=5)
    assert result.steps == 2


def test_an_adapter_alone(model: LocalModel, tmp_path: Path) -> None:
    train(model, tmp_path / "out", steps=1, merge=False)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def bare(split: PromptSplit) -> PromptSplit:
    prompts = [replace(one, reference="", check=None) for one in split.train]
    return replace(split, train=prompts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 24}, "0 of 16 prompts leave room for an answer of 8 tokens"),
        ({"options": {"warp": 9}}, "has no such field"),
        ({"options": {"beta": 0.5}}, "beta: set by selfinstruct itself"),
        ({"options": {"max_steps": 5}}, "max_steps: set by selfinstruct itself"),
        ({"options": {"trust_remote_code": True}}, "trust_remote_code: set by selfinstruct"),
        ({"options": {"per_device_train_batch_size": 3}, "k": 8}, "--k 8: a step has 3 times 21"),
        ({"options": {"gradient_accumulation_steps": 50}}, "16 prompts to train on are too few"),
        ({"split": bare(SPLIT), "rewards": ["reference"]}, "16 of 48 prompts lack an answer"),
        ({"split": bare(SPLIT), "rewards": ["check"]}, r"16 of 48 prompts lack a check.*p0"),
        ({"split": bare(SPLIT), "gold": "check"}, r"--gold check: 16 of 48 prompts lack a check"),
        ({"stop_on_hacking": True}, "--stop-on-hacking: needs an independent scorer"),
        (
            {"stop_on_hacking": True, "gold": "words", "split": PromptSplit(PROMPTS, [])},
            "--stop-on-hacking: needs prompts that are held out",
        ),
        ({"patience": 2, "split": PromptSplit(PROMPTS, [])}, "--patience: needs prompts"),
    ],
)
@pytest.mark.parametrize("algo", ["rloo", "grpo"])
def test_what_cannot_be_trained(
    model: LocalModel, tmp_path: Path, settings: dict[str, Any], message: str, algo: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(model, tmp_path / "out", algo=algo, **settings)
    assert not (tmp_path / "out").exists()


def test_the_best_policy_is_saved_where_patience_was_asked_for(
    model: LocalModel, tmp_path: Path
) -> None:
    result = train(model, tmp_path / "out", steps=8, patience=1)
    best = max(result.history[1:], key=lambda point: point.objective(BETA))
    assert result.health.reward == best.reward
    assert math.isfinite(best.reward)
