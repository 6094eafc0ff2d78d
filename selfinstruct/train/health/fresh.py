"""Fresh samples of a policy in training: their length, and their distance from the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

# Sequences that are scored at once: their logits are held over the whole vocabulary.
SCORED = 4


@dataclass(frozen=True)
class FreshPrompts:
    """Prompts that the policy answers at each measurement, as token ids, and the sampling."""

    prompts: Sequence[Sequence[int]]
    max_tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """One sampled answer: its token ids, whether it ended, its divergence and its entropy.

    `divergence` is the sum over its tokens of KL(policy ‖ reference) of the next word, given the
    answer so far. It estimates the divergence of whole answers, and has less variance than the
    estimate from the log-probabilities of the sampled words (Amini et al. 2025,
    arXiv:2504.10637, §4).

    `entropy` is the mean over its tokens of the policy's entropy of the next word. Both in nats.
    """

    ids: tuple[int, ...]
    ended: bool
    divergence: float
    entropy: float

    @property
    def tokens(self) -> int:
        """The number of its tokens."""
        return len(self.ids)


def fresh_samples(
    policy: Any,
    reference: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    seed: int,
) -> list[Fresh]:
    """Sample an answer to each prompt at temperature 1, and measure its divergence.

    Args:
        policy: the network in training.
        reference: returns a context manager that lends the reference network.
        tokenizer: that of both.
        prompts: token ids.
        max_tokens: longest answer.
        seed: of the samples. The machine's own random state stays as it was.
    """
    was_training = policy.training
    policy.eval()
    try:
        with torch.no_grad():
            answers = sampled_answers(policy, tokenizer, prompts, max_tokens, seed)
            measures = _measures(policy, reference, prompts, answers)
    finally:
        policy.train(was_training)
    end = tokenizer.eos_token_id
    return [
        Fresh(tuple(answer), answer[-1] == end, divergence, entropy)
        for answer, (divergence, entropy) in zip(answers, measures, strict=True)
    ]


def sampled_answers(
    policy: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], max_tokens: int, seed: int
) -> list[list[int]]:
    """Return an answer to each prompt, sampled at temperature 1: its token ids, up to its end.

    The machine's own random state stays as it was.
    """
    longest = max(len(prompt) for prompt in prompts)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    # Padding stands before the prompts, so that all answers begin at one place.
    ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    device = next(policy.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        written = policy.generate(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            # The model's own settings must not change what is sampled.
            min_p=None,
            typical_p=1.0,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            max_new_tokens=max_tokens,
            pad_token_id=pad,
            eos_token_id=end,
        )
    answers = []
    for row in written[:, longest:].tolist():
        stop = row.index(end) + 1 if end in row else len(row)
        answers.append(row[:stop])
    return answers


def _measures(
    policy: Any,
    reference: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
) -> list[tuple[float, float]]:
    """Return (divergence, entropy) of each answer."""
    measures = [(0.0, 0.0)] * len(prompts)
    # Ordered by length: batches of one length need no padding.
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]) + len(answers[n]))
    for start in range(0, len(order), SCORED):
        part = order[start : start + SCORED]
        pairs = [(prompts[place], answers[place]) for place in part]
        ours = next_words(policy, pairs)
        with reference() as other:
            theirs = next_words(other, pairs)
        for place, own, their in zip(part, ours, theirs, strict=True):
            likely = own.exp()
            divergence = float((likely * (own - their)).sum())
            measures[place] = divergence, -float((likely * own).sum()) / len(own)
    return measures


def next_words(network: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Any]:
    """Return log-probabilities over the vocabulary before each token of the answers.

    Returns:
        One tensor a pair, (tokens of the answer, vocabulary), in float32.
    """
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    rows = [[*prompt, *answer] for prompt, answer in pairs]
    device = next(network.parameters()).device
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor(
        [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device
    )
    # Only what follows the shortest prompt is read; logits are the dearest part.
    first = min(len(prompt) for prompt, _ in pairs) - 1 if _takes_a_part(network) else 0
    part = {"logits_to_keep": longest - first} if first else {}
    logits = network(input_ids=ids, attention_mask=mask, use_cache=False, **part).logits
    return [
        logits[number, len(prompt) - 1 - first : len(prompt) + len(answer) - 1 - first]
        .float()
        .log_softmax(-1)
        for number, (prompt, answer) in enumerate(pairs)
    ]


def _takes_a_part(network: Any) -> bool:
    """Whether a network can compute the logits of the last positions alone."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    return "logits_to_keep" in signature(inner.forward).parameters


def mean_logprobs(
    network: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[float]:
    """Return the mean log-probability of each answer after its prompt, in nats per token.

    NaN for an answer without tokens.
    """
    means = [math.nan] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda n: len(pairs[n][0]) + len(pairs[n][1]))
    order = [place for place in order if pairs[place][1]]
    for start in range(0, len(order), SCORED):
        part = order[start : start + SCORED]
        with torch.no_grad():
            words = next_words(network, [pairs[place] for place in part])
        for place, likely in zip(part, words, strict=True):
            ids = torch.tensor(pairs[place][1], device=likely.device)
            means[place] = float(likely.gather(1, ids[:, None]).mean())
    return means


@contextmanager
def without_adapter(network: Any) -> Iterator[Any]:
    """Lend a network without its adapter: the reference."""
    with network.disable_adapter():
        yield network
