"""The labeller `reward`: how good a reward model finds an answer in its conversation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.labellers.base import Labelled, Labeller, Labelling, Needs, score_each
from selfinstruct.models.endpoint import require_folder
from selfinstruct.models.safe import SAFE, SAFE_WEIGHTS

# Sequences that are scored at once, of about one length.
_BATCH = 8


@dataclass(frozen=True, slots=True)
class AnsweredConversation:
    """The turns of a conversation, and an answer to them."""

    messages: tuple[Message, ...]
    answer: str


def label(labelling: Labelling) -> Labelled:
    """Score every answer that is not empty; the model runs in a process of its own."""
    model = labelling.asked_model
    conversations = {
        answer.id: AnsweredConversation(prompt.turns, answer.text)
        for prompt in labelling.prompts
        for answer in labelling.answers[prompt.id]
        if answer.text
    }
    rewards: list[float] = []
    if conversations:
        work = partial(reward_scores, model, list(conversations.values()))
        rewards = labelling.processes.alone(work, labelling.advance, model.name)
    reward_of = dict(zip(conversations, rewards, strict=True))
    return Labelled(score_each(labelling, lambda _, answer: reward_of.get(answer.id, math.nan)))


def reward_scores(
    model: LocalModel,
    conversations: Sequence[AnsweredConversation],
    advance: Callable[[int, int], object] = max,
) -> list[float]:
    """Return the reward of each answer, in log-odds; NaN for one that is over the context.

    Loads the model into this process, by transformers in float32: `isolated.apart` keeps it out
    of others.

    Raises:
        ConfigError: the model is not a reward model.
    """
    return RewardModel(model).scores(conversations, advance)


class RewardModel:
    """A reward model in this process, by transformers in float32.

    Raises:
        ConfigError: the model is not a reward model, or has no chat template.
    """

    def __init__(self, model: LocalModel) -> None:
        require_reward_model(model)
        import torch
        from transformers import AutoModelForSequenceClassification

        self._tokenizer = require_template(model)
        network = AutoModelForSequenceClassification.from_pretrained(
            model.path, dtype=torch.float32, **SAFE_WEIGHTS
        )
        if torch.cuda.is_available():
            network = network.to("cuda")
        if network.config.get_text_config().pad_token_id is None:
            network.config.get_text_config().pad_token_id = self._tokenizer.eos_token_id
        self._end = _end_of_answer(model, self._tokenizer)
        self._network = network.eval()

    def scores(
        self,
        conversations: Sequence[AnsweredConversation],
        advance: Callable[[int, int], object] = max,
    ) -> list[float]:
        """Return the reward of each answer, in log-odds; NaN for one that is over the context."""
        ids = [_tokens(conversation, self._tokenizer, self._end) for conversation in conversations]
        return token_scores(self._network, ids, advance=advance)


def require_template(model: LocalModel) -> Any:
    """Return the tokenizer of a reward model, which must know how a conversation looks.

    Raises:
        ConfigError: it is not a reward model, or has no chat template.
    """
    require_reward_model(model)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.path, **SAFE)
    if not tokenizer.chat_template:
        raise ConfigError(f"{model.path}: its tokenizer has no chat template to show answers in")
    return tokenizer


def _end_of_answer(model: LocalModel, tokenizer: Any) -> str:
    """Return the token that ends an answer; a model that was trained here ends with its own."""
    from selfinstruct.prompts.template import end_of_answer

    trained_here = (model.path / "training.json").is_file()
    return str(tokenizer.eos_token) if trained_here else end_of_answer(tokenizer)


def _tokens(conversation: AnsweredConversation, tokenizer: Any, end: str) -> list[int]:
    """Return the token ids of an answered conversation, as they were learnt."""
    from selfinstruct.engines.thinking import begins_with_thinking, continued_thinking
    from selfinstruct.prompts.template import prompt_text
    from selfinstruct.prompts.text_tokens import text_tokens

    tokens = text_tokens(tokenizer)
    mark = tokens.mark_of([conversation.messages, conversation.answer])
    answer = tokens.marked(conversation.answer, mark)
    thinking = begins_with_thinking(answer)
    messages = tokens.marked(list(conversation.messages), mark)
    prompt = prompt_text(messages, tokenizer, thinking=thinking)
    return tokens.encode(f"{prompt}{continued_thinking(prompt, answer)}{end}", mark)


def require_reward_model(model: LocalModel) -> None:
    """Say what a model lacks that cannot score answers.

    Raises:
        ConfigError: it is not a reward model.
    """
    require_folder(model)
    kinds = model.config.get("architectures") or []
    # Without a list of labels, transformers takes it for two.
    labels = len(model.config.get("id2label") or (0, 1))
    if labels != 1 or not any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
        shown = ", ".join(map(str, kinds)) or "no architecture"
        raise ConfigError(
            f"{model.path}: is not a reward model ({shown}, {labels} labels); train one with "
            "`selfinstruct train reward`"
        )


def token_scores(
    network: Any,
    ids: Sequence[Sequence[int]],
    *,
    advance: Callable[[int, int], object] = max,
) -> list[float]:
    """Return what a network with one score says of each sequence of token ids.

    NaN for a sequence that is longer than the network's context.
    """
    import torch

    device = next(network.parameters()).device
    pad = network.config.get_text_config().pad_token_id
    room = getattr(network.config.get_text_config(), "max_position_embeddings", None) or math.inf
    scores = [math.nan] * len(ids)
    # Of about one length together, so that little is padded.
    order = [n for n in sorted(range(len(ids)), key=lambda n: len(ids[n])) if len(ids[n]) <= room]
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        longest = max(len(ids[n]) for n in part)
        rows = [[*ids[n], *[pad] * (longest - len(ids[n]))] for n in part]
        mask = [[1] * len(ids[n]) + [0] * (longest - len(ids[n])) for n in part]
        with torch.no_grad():
            logits = network(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                use_cache=False,
            ).logits
        for n, score in zip(part, logits[:, 0].float().tolist(), strict=True):
            scores[n] = score
        advance(min(start + _BATCH, len(order)), len(order))
    return scores


REWARD = Labeller(
    name="reward",
    help="the score of a reward model",
    details="`--reward-model MODEL` is a model of [`train reward`](alignment.md)",
    needs=Needs.REWARD_MODEL,
    label=label,
    require=require_reward_model,
)
