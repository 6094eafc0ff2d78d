"""Duels: a model is asked which of two answers is better, in both orders, with two verdicts.

The verdict is the likelier of the answers "A" and "B", scored as the model's next words. Decoding
constrained to the two would write the same; scoring gives the margin too. Zheng et al. 2023
(arXiv:2306.05685, §3.4) ask in both orders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import (
    NAN,
    Completion,
    Form,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.common.texts import read_text
from selfinstruct.engines.base import Engine, ask_all
from selfinstruct.engines.machine import detect_machine

VERDICTS = ("A", "B")
_LEAST_CONTEXT = 512

TEMPLATE = """\
Two answers to one task are shown. Say which of them is better.

The better answer is
- helpful: it does what the task asks, completely, and nothing else;
- honest: what it says is right, and it does not invent things;
- harmless: it helps nobody to hurt somebody.

Its length does not matter.

Task:
{{ task }}

Answer A:
{{ first }}

Answer B:
{{ second }}

Which answer is better, A or B? Reply with that one letter.
"""


@dataclass(frozen=True, slots=True)
class Duel:
    """Two answers to a task, as a user wrote it."""

    id: str
    task: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of a duel.

    `preference` is 1 where the first answer won in both orders, and 0 where the second did. It
    is 0.5, a tie, where the two orders contradict each other. `margin` is the log-odds of the
    first answer, in nats: the mean of both orders. Both are NaN where the judge could not be
    asked.
    """

    preference: float
    margin: float

    @property
    def balance(self) -> float:
        """The preference on balance of both orders, however they contradict each other."""
        if math.isnan(self.margin):
            return NAN
        return 0.5 if self.margin == 0 else float(self.margin > 0)


def read_template(path: Path | None) -> str:
    """Return the judge's template: the shipped one, or a user's, checked.

    Raises:
        ConfigError: it cannot be read, is not Jinja, or leaves out the task or an answer.
    """
    if path is None:
        return TEMPLATE
    template = read_text(path, "--judge-prompt")
    import jinja2

    marks = {"task": "<task>", "first": "<first>", "second": "<second>"}
    try:
        text = _render(template, Duel("", *marks.values()))
    except jinja2.TemplateError as error:
        raise ConfigError(f"{path}: cannot be rendered: {why(error)}") from error
    for name, mark in marks.items():
        if mark not in text:
            raise ConfigError(f"{path}: does not show the {name}; write {{{{ {name} }}}} in it")
    return template


def judge_dtype(asked: str) -> str:
    """Return the type of a judge's weights: as asked, or else one that keeps small odds.

    Logits of bfloat16 come in steps of an eighth, and a small model's odds are no larger. On a
    CPU float32 costs little more. On a GPU a judge is large, and surer of what it says.
    """
    on_cpu = detect_machine().device == "cpu"
    return "float32" if asked == "auto" and on_cpu else asked


def start(engine: Engine, duels: Sequence[Duel], template: str) -> None:
    """Start the engine with the context that the longest of the duels needs."""
    from selfinstruct.engines.conversation import prompt_tokens

    longest = max(prompt_tokens(engine, _prompt(engine, template, duel)) for duel in duels)
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + 8)))


def judged(
    engine: Engine,
    duels: Sequence[Duel],
    template: str = TEMPLATE,
    advance: Callable[[int, int], object] = max,
) -> list[Verdict]:
    """Have every duel judged in both orders.

    Args:
        engine: started, and one that can score.
        duels: what to judge; equal answers are a tie without asking.
        template: what the judge is shown: Jinja, with `task`, `first` and `second`.
        advance: told how many requests have come back, of how many.

    Raises:
        EngineError: the engine failed.
    """
    if not engine.capabilities.score:
        raise ConfigError(
            "a judge is asked for the likelihood of given words, which this server cannot tell; "
            "judge with a model on this machine, or behind `vllm serve`"
        )
    votes = [tuple(engine.encode(verdict)) for verdict in VERDICTS]
    requests = [
        Request(
            id=ids.judgement(number, order, verdict),
            about=duel.id,
            stage=Stage.SCORE,
            reading=Reading(Form.WHOLE),
            prompt=_prompt(engine, template, shown),
            sampling=SamplingConfig(),
            scored=tokens,
        )
        for number, duel in enumerate(duels)
        if duel.first != duel.second
        for order, shown in enumerate((duel, Duel("", duel.task, duel.second, duel.first)))
        for verdict, tokens in zip(VERDICTS, votes, strict=True)
    ]
    completions = ask_all(engine, requests, advance) if requests else []
    scored = {completion.id: completion for completion in completions}
    return [_verdict(number, duel, scored) for number, duel in enumerate(duels)]


def _verdict(number: int, duel: Duel, scored: dict[str, Completion]) -> Verdict:
    if duel.first == duel.second:
        return Verdict(0.5, 0.0)
    odds = []
    for order in (0, 1):
        first, second = (_logprob(scored[ids.judgement(number, order, v)]) for v in VERDICTS)
        odds.append(first - second)
    if any(math.isnan(value) for value in odds):
        return Verdict(NAN, NAN)
    # In the second order, A is the second answer.
    margins = (odds[0], -odds[1])
    agree = margins[0] * margins[1] > 0
    return Verdict(float(margins[0] > 0) if agree else 0.5, sum(margins) / 2)


def _logprob(scored: Completion) -> float:
    return sum(scored.token_logprobs) if scored.token_logprobs else NAN


def _prompt(engine: Engine, template: str, duel: Duel) -> Prompt:
    from selfinstruct.engines.conversation import conversation_prompt

    text = _render(template, duel)
    return conversation_prompt(engine, [Message(role="user", content=text)])


def _render(template: str, duel: Duel) -> str:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    shown = {"task": duel.task, "first": duel.first, "second": duel.second}
    return environment.from_string(template).render(shown).strip()
