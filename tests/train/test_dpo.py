"""DPO on a tiny model: the loss by hand, what is learnt, resume, degenerate data."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.arguments import trl_arguments
from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.health.verdict import Trouble
from selfinstruct.train.recipe import Examples, Job
from selfinstruct.train.recipes.dpo import DPO, HEALTH, PAGE, DpoSettings
from selfinstruct.train.watching import TrainProgress
from tests.train.dpo_runs import ROWS, SPLIT, row, train


def test_loss_and_implicit_rewards_equal_the_papers_equation(
    model: LocalModel, tmp_path: Path
) -> None:
    """One batch against equation 7 of Rafailov et al. 2023, computed in float64 by hand."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig

    from selfinstruct.train.recipes.dpo import _dataset
    from selfinstruct.train.recipes.dpo_trainer import Trainer
    from selfinstruct.train.reporter import Reporter

    tokenizer = AutoTokenizer.from_pretrained(model.path)
    prepare_tokenizer(tokenizer)
    # The longest first: they are scored by length, and have to come back in their places.
    rows = [
        PreferenceRow(one.id, one.prompt_id, one.messages, f"{one.chosen} " * (6 - n), one.rejected)
        for n, one in enumerate(ROWS[:6])
    ]
    pairs = encode_pairs(rows, tokenizer, max_length=256, dropped=Counter())
    policy = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    reference = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float64)
    beta = 0.3
    (tmp_path / "out").mkdir()
    trainer = Trainer(
        model=policy,
        args=DPOConfig(
            output_dir=str(tmp_path / "out"),
            beta=beta,
            precompute_ref_log_probs=True,
            per_device_train_batch_size=6,
            max_length=None,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=_dataset(pairs),
        processing_class=tokenizer,
        reporter=Reporter(lambda event: None, tmp_path / "out"),
    )
    trainer.compute_reference()
    with torch.no_grad():  # a policy that is no longer its reference
        for index, parameter in enumerate(policy.parameters()):
            generator = torch.Generator().manual_seed(index)
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    moved = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float64)
    moved.load_state_dict({name: value.double() for name, value in policy.state_dict().items()})

    def logprob(network: Any, prompt: list[int], answer: list[int]) -> float:
        with torch.no_grad():
            logits = network(torch.tensor([prompt + answer]), use_cache=False).logits[0]
        words = logits.log_softmax(-1)
        return sum(
            float(words[len(prompt) + place - 1, token]) for place, token in enumerate(answer)
        )

    for one, kept in zip(pairs, trainer.train_dataset, strict=True):
        for column, ids in (
            ("ref_chosen_logps", one.chosen_ids),
            ("ref_rejected_logps", one.rejected_ids),
        ):
            assert kept[column] == pytest.approx(logprob(reference, one.prompt_ids, ids), abs=1e-3)
    rewards = [
        [
            beta * (logprob(moved, one.prompt_ids, ids) - logprob(reference, one.prompt_ids, ids))
            for ids in (one.chosen_ids, one.rejected_ids)
        ]
        for one in pairs
    ]
    by_hand = sum(math.log1p(math.exp(-(good - bad))) for good, bad in rewards) / len(pairs)

    policy.eval()
    batch = trainer._prepare_inputs(
        trainer.data_collator([trainer.train_dataset[n] for n in range(6)])
    )
    with torch.no_grad():
        loss = trainer.compute_loss(policy, batch)
    told = {key: value[0] for key, value in trainer._metrics["eval"].items()}
    assert float(loss) == pytest.approx(by_hand, abs=1e-5)
    assert told["rewards/chosen"] == pytest.approx(sum(a for a, _ in rewards) / 6, abs=1e-5)
    assert told["rewards/rejected"] == pytest.approx(sum(b for _, b in rewards) / 6, abs=1e-5)
    assert told["rewards/margins"] == pytest.approx(sum(a - b for a, b in rewards) / 6, abs=1e-5)
    right = sum(good > bad for good, bad in rewards)
    assert told["rewards/accuracies"] == pytest.approx(right / 6)


def test_what_is_preferred_is_learnt_and_watched(model: LocalModel, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    events: list[TrainProgress] = []
    result = train(model, out, listen=events.append)
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
    saved, before = (AutoModelForCausalLM.from_pretrained(path) for path in (out, model.path))
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


def test_divergence_of_fresh_answers_is_that_of_their_next_words(
    model: LocalModel, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfinstruct.train.health.fresh import fresh_samples

    tokenizer = AutoTokenizer.from_pretrained(model.path)
    prepare_tokenizer(tokenizer)
    policy = AutoModelForCausalLM.from_pretrained(model.path)
    other = AutoModelForCausalLM.from_pretrained(model.path)
    with torch.no_grad():
        other.lm_head.weight *= 0.5

    from contextlib import nullcontext

    prompts = [tokenizer.encode(text) for text in ("Name it.", "Name a much longer thing, now.")]
    sample = partial(
        fresh_samples, policy, tokenizer=tokenizer, prompts=prompts, max_tokens=6, seed=3
    )
    same = sample(lambda: nullcontext(policy))
    assert [one.divergence for one in same] == [0.0, 0.0]
    found = sample(lambda: nullcontext(other))
    assert [one.tokens for one in found] == [one.tokens for one in same]
    # By hand, a token at a time, of what was sampled.
    from selfinstruct.train.health.fresh import _sampled

    with torch.no_grad():
        answers = _sampled(policy, tokenizer, prompts, 6, 3)
    for prompt, answer, one in zip(prompts, answers, found, strict=True):
        total = 0.0
        for place in range(len(answer)):
            ids = torch.tensor([[*prompt, *answer[:place]]])
            with torch.no_grad():
                ours = policy(ids).logits[0, -1].double().log_softmax(-1)
                theirs = other(ids).logits[0, -1].double().log_softmax(-1)
            total += float((ours.exp() * (ours - theirs)).sum())
        assert one.divergence == pytest.approx(total, rel=1e-4)


def test_killed_and_resumed_ends_as_if_it_had_not_been(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(model, tmp_path / "whole")
    out = tmp_path / "killed"

    def stop(event: TrainProgress) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop)
    assert last_checkpoint(out / CHECKPOINTS) is not None
    with pytest.raises(ConfigError, match="--resume goes on"):
        train(model, out)
    with pytest.raises(ConfigError, match="other values of beta"):
        train(model, out, resume=True, beta=0.5)

    def refuse(*_: Any) -> None:
        raise AssertionError("the reference was computed before")

    monkeypatch.setattr("trl.DPOTrainer.compute_ref_log_probs", refuse)
    again = train(model, out, resume=True)
    assert again.history[-1].step == whole.history[-1].step
    assert again.losses[-1][1] == pytest.approx(whole.losses[-1][1], abs=1e-4)
    assert again.health.margin.mean == pytest.approx(whole.health.margin.mean, abs=1e-3)
    assert [point.step for point in again.history] == [point.step for point in whole.history]


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
        found = trl_arguments(DPO, job, Examples(range(100), range(10), {}, {}))
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
        ({"options": {"warp": 9}}, "TRL refuses its options"),
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


def test_pairs_of_like_length_share_batches_and_the_longest_weigh_no_more() -> None:
    from selfinstruct.train.recipes.dpo_trainer import _by_length

    lengths = [9, 2, 7, 4, 1, 8, 3, 6, 5, 10]
    columns = {"prompt_ids": [[0]] * 10, "chosen_ids": [[0] * n for n in lengths]}
    pairs = {**columns, "rejected_ids": [[0]] * 10}
    order = _by_length(pairs, 4)
    assert sorted(order) == list(range(10))
    assert [lengths[place] for place in order] == [1, 2, 3, 4, 7, 8, 9, 10, 5, 6]
    assert _by_length(pairs, 5) == sorted(range(10), key=lengths.__getitem__)
