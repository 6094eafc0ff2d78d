"""The gradients of RLOO and GRPO by hand, from the formulas of docs/rl.md, a token at a time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from selfinstruct.common.records import LocalModel
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.prompts import encode_prompts
from selfinstruct.train.recipes.rl import ALGORITHMS, _dataset
from selfinstruct.train.recipes.rl_trainer import RewardFunction
from selfinstruct.train.reporter import Reporter
from selfinstruct.train.rewards.base import Answered
from tests.train.rl_runs import PROMPTS
from tests.train.sft_runs import tokenizer_of

BETA, K, ROOM = 0.3, 4, 6
WEIGHTS = (2.0, -0.5)


def first(ids: list[int]) -> float:
    return float(sum(ids) % 7)


def second(ids: list[int]) -> float:
    return float(ids[0] % 3)


class Step:
    """One batch of a policy that has left its reference: TRL's inputs, its loss and gradient."""

    def __init__(self, model: LocalModel, out: Path, algo: str, **fields: Any) -> None:
        from transformers import AutoModelForCausalLM

        tokenizer = tokenizer_of(model)
        prepare_tokenizer(tokenizer)
        rows, _ = encode_prompts(PROMPTS[:3], tokenizer, max_length=256, room=ROOM)
        functions = [RewardFunction("first"), RewardFunction("second")]
        for function, score in zip(functions, (first, second), strict=True):
            function.rows = rows
            function.score = lambda answers, score=score: [score(list(one.ids)) for one in answers]
        config_class, trainer_class = ALGORITHMS[algo].classes()
        config = config_class(
            output_dir=str(out),
            beta=BETA,
            num_generations=K,
            max_completion_length=ROOM,
            per_device_train_batch_size=3 * K,
            gradient_accumulation_steps=1,
            gradient_checkpointing=False,
            reward_weights=list(WEIGHTS),
            bf16=False,
            use_cpu=True,
            report_to="none",
            **fields,
        )
        policy = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
        trainer = trainer_class(
            model=policy,
            reward_funcs=functions,
            args=config,
            train_dataset=_dataset(rows),
            processing_class=tokenizer,
            reporter=Reporter(lambda event: None, out),
        )
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        # Many tokens end an answer here, so that lengths differ.
        trainer.eos_token_ids = [*range(1, 60)]
        trainer.generation_config.eos_token_id = trainer.eos_token_ids
        trainer.generation_kwargs["eos_token_id"] = trainer.eos_token_ids
        trainer.current_gradient_accumulation_steps = 1
        policy.train()
        asked = [row for row in trainer.train_dataset for _ in range(K)]
        inputs = trainer._prepare_inputs(asked)
        self.loss = trainer.compute_loss(trainer.model, inputs)
        self.loss.backward()
        self.gradient = {name: value.grad.double() for name, value in policy.named_parameters()}
        self.policy = policy.double()
        self.reference = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float64)
        self.answers = [
            (ids[mask == 1].tolist(), answer[kept == 1].tolist())
            for ids, mask, answer, kept in zip(
                *(
                    inputs[f"{part}_{kind}"]
                    for part in ("prompt", "completion")
                    for kind in ("ids", "mask")
                ),
                strict=True,
            )
        ]
        self.tokens = trainer.reporter.tokens
        assert len({len(ids) for _, ids in self.answers}) > 1

    def rewards(self) -> list[float]:
        return [WEIGHTS[0] * first(ids) + WEIGHTS[1] * second(ids) for _, ids in self.answers]

    def logprobs(self, network: Any) -> list[Any]:
        """The log-probability of each token of each answer."""
        found = []
        for prompt, ids in self.answers:
            words = network(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) + len(ids) - 1)
            found.append(
                torch.stack([words[p, token] for p, token in zip(places, ids, strict=True)])
            )
        return found

    def groups(self, values: list[float]) -> dict[tuple[int, ...], list[float]]:
        """The values of the answers to each prompt."""
        found = defaultdict(list)
        for (prompt, _), value in zip(self.answers, values, strict=True):
            found[tuple(prompt)].append(value)
        return found

    def is_gradient_of(self, surrogate: Any) -> None:
        """Compare the gradient of TRL with that of a sum of weighted log-probabilities."""
        self.policy.zero_grad()
        surrogate.backward()
        for name, parameter in self.policy.named_parameters():
            by_hand = parameter.grad
            off = (self.gradient[name] - by_hand).norm() / by_hand.norm().clamp(min=1e-6)
            assert off < 1e-3, name


def test_rloo(model: LocalModel, tmp_path: Path) -> None:
    """Ahmadian et al. 2024, eq. 6, with R̂ = R − beta·Σ log(π ÷ π_ref) as an answer's reward."""
    step = Step(model, tmp_path, "rloo")
    ours = step.logprobs(step.policy)
    with torch.no_grad():
        theirs = step.logprobs(step.reference)
    penalised = [
        reward - BETA * float((own.detach() - other).sum())
        for reward, own, other in zip(step.rewards(), ours, theirs, strict=True)
    ]
    groups = step.groups(penalised)
    assert [len(group) for group in groups.values()] == [K] * 3
    advantages = [
        reward - (sum(groups[tuple(prompt)]) - reward) / (K - 1)
        for (prompt, _), reward in zip(step.answers, penalised, strict=True)
    ]
    terms = [a * own.sum() for a, own in zip(advantages, ours, strict=True)]
    step.is_gradient_of(-sum(terms) / len(terms))
    assert step.tokens == sum(len(prompt) + len(ids) for prompt, ids in step.answers)


PAPERS = {"loss_type": "grpo", "use_bias_correction_kl": False}


@pytest.mark.parametrize("fields", [{}, PAPERS], ids=["TRL's default", "the paper's"])
def test_grpo(model: LocalModel, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Shao et al. 2024, eq. 3 and 4; by default TRL divides by all tokens of the step (DAPO).

    Also by default it takes the gradient of the divergence itself (DeepSeek-V3.2,
    arXiv:2512.02556), which the paper's estimate of it does not have.
    """
    step = Step(model, tmp_path, "grpo", **fields)
    ours = step.logprobs(step.policy)
    with torch.no_grad():
        theirs = step.logprobs(step.reference)
    rewards = step.rewards()
    groups = step.groups(rewards)
    total = sum(len(own) for own in ours)
    terms = []
    for (prompt, _), reward, own, other in zip(step.answers, rewards, ours, theirs, strict=True):
        group = groups[tuple(prompt)]
        advantage = (reward - fmean(group)) / (stdev(group) + 1e-4)
        apart = own.detach() - other
        # The gradient of π_ref ÷ π − log(π_ref ÷ π) − 1 is (1 − π_ref ÷ π)·∇log π.
        penalty = 1 - (-apart).exp() if fields else apart
        share = len(own) * len(ours) if fields else total
        terms.append(((advantage - BETA * penalty) * own).sum() / share)
    step.is_gradient_of(-sum(terms))


def test_what_cannot_be_scored_is_left_out() -> None:
    function = RewardFunction("some")
    function.score = lambda answers: [float("nan"), 2.0]
    rows, _ = [object(), object()], 0
    function.rows = [_Row() for _ in rows]  # type: ignore[misc]
    assert function(["a", "b"], [[1], [2]], [0, 1]) == [None, 2.0]


class _Row:
    prompt = PROMPTS[0]
    ids = (1, 2)


def test_an_answer_is_shown_to_a_reward_as_it_was_asked() -> None:
    seen: list[Answered] = []
    function = RewardFunction("some")

    def score(answers: Any) -> list[float]:
        seen.extend(answers)
        return [0.0] * len(answers)

    function.score, function.rows = score, [_Row(), _Row()]  # type: ignore[list-item]
    function(["a", "b"], [[1], [2]], [1, 0])
    assert [(one.text, one.ids, one.prompt.id) for one in seen] == [
        ("a", [1], "p0"),
        ("b", [2], "p0"),
    ]
