"""Plain text under a model, before and after fine-tuning: the last word, and perplexity.

The last word of a passage can only be guessed from the whole passage, as in LAMBADA (Paperno et
al. 2016, arXiv:1606.06031). What alignment loses there is its tax (Ouyang et al. 2022,
arXiv:2203.02155, §4.2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_file
from selfinstruct.common.records import NAN, Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.common.texts import read_text
from selfinstruct.engines.base import Engine, scoring_request

_LEAST_WORDS = 5
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True, slots=True)
class PassageScore:
    """The scores of one passage; NaN if it does not fit the context.

    `logprob`: log-likelihood after its first word, in nats per word. `last_word`: 1 if the model
    continues greedily with the last word, else 0.
    """

    logprob: float
    last_word: float


def shipped_passages() -> Path:
    """Return the passages that come with the project."""
    return shipped_file("passages.txt")


def read_passages(path: Path) -> list[str]:
    """Read plain text: passages with a blank line between them.

    Raises:
        ConfigError: it cannot be read, or has no passage of five words.
    """
    text = read_text(path, "--plain-text")
    passages = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    passages = [passage for passage in passages if len(passage.split()) >= _LEAST_WORDS]
    if not passages:
        raise ConfigError(
            f"{path}: has no passage of {_LEAST_WORDS} words; give passages of plain text, with a "
            "blank line between them"
        )
    return passages


def passage_requests(engine: Engine, passages: Sequence[str]) -> list[Request]:
    """Return two requests per passage: to score all but its first word, and to write its last."""
    greedy = SamplingConfig(max_tokens=8)
    requests = []
    for number, passage in enumerate(passages):
        first, _, rest = passage.partition(" ")
        id, before = ids.passage(number), passage.rpartition(" ")[0]
        requests.append(scoring_request(id, first, engine.encode(f" {rest}"), greedy))
        whole = Reading(Form.WHOLE)
        requests.append(Request(ids.passage_end(number), id, Stage.ANSWER, whole, before, greedy))
    return requests


def passage_scores(passages: Sequence[str], done: Mapping[str, Completion]) -> list[PassageScore]:
    """Return the scores of passages from the completions of their requests, by id."""
    return [
        PassageScore(
            _nats_per_word(passage, done[ids.score(ids.passage(number))]),
            _ends(passage, done[ids.passage_end(number)]),
        )
        for number, passage in enumerate(passages)
    ]


def perplexity(scores: Sequence[PassageScore], passages: Sequence[str]) -> float:
    """Return exp of the mean negative log-likelihood per word.

    Per word and not per token, so that models of different tokenizers can be compared.
    """
    pairs = [
        (score.logprob * words, words)
        for score, words in zip(scores, map(_words_after_first, passages), strict=True)
        if not math.isnan(score.logprob)
    ]
    if not pairs:
        return NAN
    return math.exp(-sum(nats for nats, _ in pairs) / sum(words for _, words in pairs))


def _nats_per_word(passage: str, scored: Completion) -> float:
    if not scored.token_logprobs:
        return NAN
    return sum(scored.token_logprobs) / _words_after_first(passage)


def _words_after_first(passage: str) -> int:
    return len(passage.split()) - 1


def _ends(passage: str, written: Completion) -> float:
    if written.error:
        return NAN
    last, next_word = _WORD.findall(passage)[-1:], _WORD.findall(written.text)[:1]
    return float([word.casefold() for word in last] == [word.casefold() for word in next_word])


Measured = Callable[[PassageScore], float]
PASSAGE_MEASURES: Mapping[str, Measured] = {
    "last_word": lambda score: score.last_word,
    "passage_logprob": lambda score: score.logprob,
}
