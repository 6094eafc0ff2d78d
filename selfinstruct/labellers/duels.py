"""Duels: a model is asked which of two answers is better, in both orders, with two verdicts.

The verdict is the likelier of the answers "A" and "B", scored as the model's next words. Decoding
constrained to the two would write the same; scoring gives the margin too. Zheng et al. 2023
(arXiv:2306.05685, §3.4) ask in both orders.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from selfinstruct.engines.base import Engine
from selfinstruct.engines.machine import detect_machine
from selfinstruct.engines.stream import stream

VERDICTS = ("A", "B")
_REQUESTS = 2 * len(VERDICTS)  # of a duel: each verdict in both orders
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
    """Two answers to a task, as a user wrote it; `principle`: that they are compared by."""

    id: str
    task: str
    first: str
    second: str
    principle: str = ""


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


def read_template(path: Path | None, *, by_principles: bool = False) -> str:
    """Return the judge's template: the shipped one, or a user's, checked.

    Args:
        path: a user's; None: the shipped one.
        by_principles: whether it must show a principle too.

    Raises:
        ConfigError: it cannot be read, is not Jinja, or leaves out the task or an answer.
    """
    if path is None:
        return TEMPLATE
    template = read_text(path, "--judge-prompt")
    import jinja2

    marks = {"task": "<task>", "first": "<first>", "second": "<second>"}
    if by_principles:
        marks["principle"] = "<principle>"
    try:
        text = _render(template, Duel("", **marks))
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
    batches: Sequence[Sequence[Duel]],
    template: str = TEMPLATE,
    advance: Callable[[int, int], object] = max,
) -> Iterator[list[Verdict]]:
    """Have duels judged in both orders; yield the verdicts of batch after batch, in order.

    Args:
        engine: started, and one that can score.
        batches: what to judge; equal answers are a tie without asking.
        template: what the judge is shown: Jinja, with `task`, `first` and `second`.
        advance: told how many duels are judged, of how many.

    Raises:
        ConfigError: the engine cannot score.
        EngineError: the engine failed.
    """
    if not engine.capabilities.score:
        raise ConfigError(
            "a judge is asked for the likelihood of given words, which this server cannot tell; "
            "judge with a model on this machine, or behind `vllm serve`"
        )
    of = sum(map(len, batches))
    asked = sum(duel.first != duel.second for duels in batches for duel in duels)
    votes = {verdict: tuple(engine.encode(verdict)) for verdict in VERDICTS}
    number = itertools.count()
    opened = (
        [_OpenDuel(engine, duel, next(number), template, votes) for duel in duels]
        for duels in batches
    )

    def tell(returned: int) -> None:
        advance(of - asked + returned // _REQUESTS, of)

    for parts in stream(engine, opened, tell):
        yield [part.verdict for part in parts]


class _OpenDuel:
    """A duel while the judge's words are scored; `number` makes the ids of its requests."""

    def __init__(
        self,
        engine: Engine,
        duel: Duel,
        number: int,
        template: str,
        votes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._engine = engine
        self._duel = duel
        self._number = number
        self._template = template
        self._votes = votes
        self._scored: dict[str, Completion] = {}

    def start(self) -> list[Request]:
        duel = self._duel
        if duel.first == duel.second:
            return []
        swapped = replace(duel, first=duel.second, second=duel.first)
        return [
            Request(
                id=ids.judgement(self._number, order, verdict),
                about=duel.id,
                stage=Stage.SCORE,
                reading=Reading(Form.WHOLE),
                prompt=_prompt(self._engine, self._template, shown),
                sampling=SamplingConfig(),
                scored=tokens,
            )
            for order, shown in enumerate((duel, swapped))
            for verdict, tokens in self._votes.items()
        ]

    def take(self, completion: Completion) -> list[Request]:
        self._scored[completion.id] = completion
        return []

    @property
    def verdict(self) -> Verdict:
        """What the judge says, once every request is back."""
        if self._duel.first == self._duel.second:
            return Verdict(0.5, 0.0)
        odds = []
        for order in (0, 1):
            scored = (self._scored[ids.judgement(self._number, order, v)] for v in VERDICTS)
            first, second = map(_logprob, scored)
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
    return environment.from_string(template).render(asdict(duel)).strip()
