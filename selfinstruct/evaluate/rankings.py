"""Texts that a model ranks by how likely they are: choices of a question, answers of a pair.

Every text is split into tokens together with what stands before it, once, as the model would see
both. Its loss is the negative log-likelihood of its own tokens; what stands before it, and the end
of the turn, do not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import NAN, Completion, Message, Prompt, Request
from selfinstruct.engines.base import Engine, scoring_request
from selfinstruct.engines.conversation import conversation_prompt
from selfinstruct.filters.length import has_spaceless
from selfinstruct.inputs.shots import Shot

# How far back a token may begin that holds the end of a prompt, in characters.
_FARTHEST = 40
# Marks that stand at the end of a word, without a space.
_CLOSING = frozenset(".,;:!?)]}%…’”'\"")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Texts that may follow a conversation; `right` is the place of the right one, from 0.

    `continues`: they continue the text of the last turn; otherwise they answer it.
    """

    id: str
    turns: tuple[Message, ...]
    options: tuple[str, ...]
    right: int
    continues: bool = False

    @property
    def shot(self) -> Shot:
        """The item with its right answer, to show before another one."""
        return Shot(self.turns[-1]["content"], self.options[self.right])


@dataclass(frozen=True, slots=True)
class RankedScore:
    """Log-likelihood of each option in nats, and its tokens; NaN for one that does not fit."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def per_token(self) -> tuple[float, ...]:
        """Mean log-likelihood of each option, in nats per token."""
        return tuple(
            logprob / tokens if tokens else NAN
            for logprob, tokens in zip(self.logprobs, self.tokens, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Before:
    """What a model is shown before each item: worked items, and a system prompt."""

    shots: Sequence[Shot] = ()
    system: str = ""


def others(items: Sequence[Ranked], item: Ranked, count: int) -> list[Shot]:
    """Return the first items of the same form with their right answers, but not the item itself.

    Raises:
        ConfigError: there are fewer.
    """
    same = [other for other in items if other.continues == item.continues and other is not item]
    if len(same) < count:
        raise ConfigError(
            f"--few-shot {count}: there are {len(same)} other rows like {item.id!r} to show; give "
            "fewer, or more rows"
        )
    return [other.shot for other in same[:count]]


def ranking_requests(engine: Engine, name: str, item: Ranked, before: Before) -> list[Request]:
    """Return a scoring request for each option.

    Args:
        engine: splits texts into tokens; it need not be started.
        name: of the item, unique among all requests.
        item: what is ranked.
        before: what is shown first.
    """
    prompt, scored = split_options(engine, *_prompt(engine, item, before))
    return [
        scoring_request(ids.option(name, place), prompt, tokens)
        for place, tokens in enumerate(scored)
    ]


def ranking_score(name: str, item: Ranked, done: Mapping[str, Completion]) -> RankedScore:
    """Return the scores of an item from the completions of its requests, by id."""
    scored = [done[ids.score(ids.option(name, place))] for place in range(len(item.options))]
    return RankedScore(
        tuple(sum(one.token_logprobs) if one.token_logprobs else NAN for one in scored),
        tuple(len(one.request.scored or ()) for one in scored),
    )


def joined(text: str, ending: str) -> str:
    """Return a text with its ending, with one space between where a writer would put one."""
    if not text or text[-1].isspace() or ending[:1].isspace() or ending[:1] in _CLOSING:
        return text + ending
    if has_spaceless(text[-1]) or has_spaceless(ending[:1]):
        return text + ending
    return f"{text} {ending}"


def _prompt(engine: Engine, item: Ranked, before: Before) -> tuple[Prompt, list[str]]:
    """Return the prompt, and the texts that follow it directly."""
    if item.continues:
        text = item.turns[-1]["content"]
        earlier = [joined(shot.user, shot.answer) for shot in before.shots]
        parts = [before.system] if before.system else []
        prompt = "\n\n".join([*parts, *earlier, text])
        return prompt, [joined(text, option)[len(text) :] for option in item.options]
    turns = list(item.turns)
    own = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
    messages: list[Message] = []
    if system := "\n\n".join(part for part in (before.system, own) if part):
        messages.append(Message(role="system", content=system))
    for shot in before.shots:
        messages.append(Message(role="user", content=shot.user))
        messages.append(Message(role="assistant", content=shot.answer))
    return conversation_prompt(engine, [*messages, *turns]), list(item.options)


def split_options(
    engine: Engine, prompt: Prompt, options: Sequence[str]
) -> tuple[Prompt, list[list[int]]]:
    """Return the prompt that is shown, and the tokens of each option after it.

    The text is split with its options. Where a token holds the end of the prompt and the beginning
    of an option (a space at the end, scripts without spaces), it counts to every option, and the
    prompt is shorter. A conversation stays whole: its end is the chat template's.
    """
    rendered = engine.render(prompt)
    whole = [engine.encode(rendered + option) for option in options]
    own = engine.encode(rendered)
    if _begins_all(own, whole):
        return prompt, [tokens[len(own) :] for tokens in whole]
    if not isinstance(prompt, str):
        return prompt, [engine.encode(option) for option in options]
    for end in range(len(prompt) - 1, max(0, len(prompt) - _FARTHEST), -1):
        own = engine.encode(engine.render(prompt[:end]))
        if _begins_all(own, whole):
            return prompt[:end], [tokens[len(own) :] for tokens in whole]
    return prompt, [engine.encode(option) for option in options]


def _begins_all(own: Sequence[int], whole: Sequence[Sequence[int]]) -> bool:
    return all(len(own) < len(each) and each[: len(own)] == own for each in whole)


def right_per_token(item: Ranked, score: RankedScore) -> float:
    """Whether the right option has the least loss per token; NaN where one has no score."""
    return _is_best(score.per_token, item.right)


def right_in_all(item: Ranked, score: RankedScore) -> float:
    """Whether the right option has the least loss in all; short ones have less to lose."""
    return _is_best(score.logprobs, item.right)


def right_logprob(item: Ranked, score: RankedScore) -> float:
    """Mean log-likelihood of the right option, in nats per token."""
    return score.per_token[item.right]


def margin(item: Ranked, score: RankedScore) -> float:
    """How much likelier the right option is than the best of the others, in nats per token."""
    per_token = score.per_token
    if any(map(math.isnan, per_token)):
        return NAN
    rest = [value for place, value in enumerate(per_token) if place != item.right]
    return per_token[item.right] - max(rest)


def _is_best(values: Sequence[float], place: int) -> float:
    """Whether a value is the highest; a tie with another one is a miss."""
    if any(map(math.isnan, values)):
        return NAN
    return float(all(values[place] > value for n, value in enumerate(values) if n != place))


CHOICE_MEASURES = {
    "choice_accuracy": right_per_token,
    "choice_accuracy_sum": right_in_all,
    "choice_logprob": right_logprob,
}
PAIR_MEASURES = {
    "pair_accuracy": right_per_token,
    "pair_accuracy_sum": right_in_all,
    "pair_margin": margin,
}
