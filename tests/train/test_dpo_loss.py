"""The loss of DPO by hand, its implicit rewards, batches, and the divergence of fresh answers."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.records import LocalModel
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.preference_rows import PreferenceRow
from tests.train.dpo_runs import ROWS


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
    from selfinstruct.train.health.fresh import sampled_answers

    with torch.no_grad():
        answers = sampled_answers(policy, tokenizer, prompts, 6, 3)
    for prompt, answer, one in zip(prompts, answers, found, strict=True):
        total = 0.0
        for place in range(len(answer)):
            ids = torch.tensor([[*prompt, *answer[:place]]])
            with torch.no_grad():
                ours = policy(ids).logits[0, -1].double().log_softmax(-1)
                theirs = other(ids).logits[0, -1].double().log_softmax(-1)
            total += float((ours.exp() * (ours - theirs)).sum())
        assert one.divergence == pytest.approx(total, rel=1e-4)


def test_pairs_of_like_length_share_batches_and_the_longest_weigh_no_more() -> None:
    from selfinstruct.train.recipes.dpo_trainer import _by_length

    lengths = [9, 2, 7, 4, 1, 8, 3, 6, 5, 10]
    columns = {"prompt_ids": [[0]] * 10, "chosen_ids": [[0] * n for n in lengths]}
    pairs = {**columns, "rejected_ids": [[0]] * 10}
    order = _by_length(pairs, 4)
    assert sorted(order) == list(range(10))
    assert [lengths[place] for place in order] == [10, 9, 8, 7, 4, 3, 2, 1, 6, 5]
    assert _by_length(pairs, 5) == sorted(range(10), key=lengths.__getitem__, reverse=True)
