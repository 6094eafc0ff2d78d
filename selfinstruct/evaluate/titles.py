"""What each metric is called and how it is shown: on the page, and on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Title:
    """How a metric is shown.

    Attributes:
        name: in report.json.
        page: on the page.
        terminal: in the table of the command line; empty: not shown there.
        percent: whether the table shows 100 times the value.
        digits: behind the point, in the table.
        share: whether a model's value is a share with an interval of its own.
    """

    name: str
    page: str
    terminal: str = ""
    percent: bool = False
    digits: int = 0
    share: bool = False


def _share(name: str, title: str) -> Title:
    return Title(name, f"{title}, share", f"{title}, %", percent=True, digits=1, share=True)


def _label(name: str, of: str) -> Title:
    page = f"classifier: mean probability of the label{of}"
    return Title(name, page, f"label's probability{of}, %", percent=True, digits=1, share=True)


_CUT = "ROUGE-L, answers cut to the length of the reference"
TITLES: tuple[Title, ...] = (
    Title("rouge_l", "ROUGE-L", "ROUGE-L", percent=True, digits=1),
    Title("rouge_l_cut", _CUT, "ROUGE-L, cut as the reference", percent=True, digits=1),
    Title(
        "rouge_l_equal",
        "ROUGE-L at equal length: both cut to the shorter of the two",
        "ROUGE-L at equal length",
        percent=True,
        digits=1,
    ),
    Title("exact_match", "exact match (closed tasks)", "exact match, %", percent=True, digits=1),
    Title(
        "reference_logprob",
        "log-likelihood of the reference, nats per token",
        "reference, nats per token",
        digits=2,
    ),
    _share("refusal_rate", "refused, of prompts to decline"),
    _share("over_refusal_rate", "refused, of harmless prompts"),
    _share("refusal_rate_care", "refused, of prompts that need care"),
    _share("as_expected", "declines exactly where it should"),
    _share("nearer_to_truth", "nearer to the right answer than to false ones (ROUGE-L)"),
    _label("scorer", ""),
    _label("scorer_decline", ", of prompts to decline"),
    _label("scorer_answer", ", of harmless prompts"),
    _label("scorer_care", ", of prompts that need care"),
    Title("length", "length, words", "words"),
    Title("repetition", "repeated trigrams, share"),
    Title("empty", "empty answers, share"),
    Title(
        "never_stopping",
        "answers that ran into the token limit, share",
        "never stops, %",
        percent=True,
        digits=1,
    ),
    _share("choice_accuracy", "multiple choice: least loss per token is right"),
    _share("choice_accuracy_sum", "multiple choice: least loss in all is right"),
    Title(
        "choice_logprob",
        "multiple choice: log-likelihood of the right one, nats per token",
        "multiple choice: the right one, nats per token",
        digits=2,
    ),
    _share("pair_accuracy", "pairs: chosen has the lower loss per token"),
    _share("pair_accuracy_sum", "pairs: chosen has the lower loss in all"),
    Title(
        "pair_margin",
        "pairs: log-likelihood of chosen less that of rejected, nats per token",
        "pairs: chosen − rejected, nats per token",
        digits=2,
    ),
    Title(
        "last_word",
        "plain text: last word right, share",
        "plain text: last word, %",
        percent=True,
        digits=1,
    ),
    Title("passage_logprob", "plain text: log-likelihood, nats per word"),
    Title("perplexity", "plain text: perplexity per word", "plain text: perplexity per word"),
    Title(
        "win_rate",
        "judge: share of wins less share of losses",
        "judge: wins − losses",
        percent=True,
        digits=1,
    ),
    Title(
        "win_rate_balance",
        "judge, on balance of both orders: share of wins less share of losses",
        "judge, on balance: wins − losses",
        percent=True,
        digits=1,
    ),
)
_BY_NAME = {title.name: title for title in TITLES}
_PASS_AT = re.compile(r"pass_at_(\d+)")


def title_of(metric: str) -> Title:
    """Return how a metric is shown; one that is not ours goes by its own name."""
    if title := _BY_NAME.get(metric):
        return title
    if match := _PASS_AT.fullmatch(metric):
        return _share(metric, f"pass@{match[1]} of tasks with checks")
    return Title(metric, metric, metric, digits=3)


def in_order(metrics: Iterable[str]) -> list[Title]:
    """Return the titles of metrics, each once: ours in their order, then others as they come."""
    known = list(dict.fromkeys(metrics))
    places = {title.name: place for place, title in enumerate(TITLES)}
    known.sort(key=lambda name: places.get(name, len(TITLES)))
    return [title_of(name) for name in known]
