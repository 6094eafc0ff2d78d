"""What every flow does with an engine: take completions that can be stored, and close it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from selfinstruct.common.errors import why
from selfinstruct.common.records import Completion
from selfinstruct.common.texts import has_surrogate, without_surrogates

if TYPE_CHECKING:
    from selfinstruct.engines.base import Engine

log = logging.getLogger(__name__)


def received(engine: Engine) -> list[Completion]:
    """Wait for at least one completion; return all that are ready, so that they can be stored.

    Half a character (a lone surrogate) has no UTF-8: it becomes U+FFFD. Log-probabilities or places
    that are not one for each token score nothing: they are left out.

    Raises:
        EngineError: the engine died.
    """
    completions = engine.collect()
    broken = [c.id for c in completions if _has_half_characters(c)]
    short = [c.id for c in completions if not _is_complete(c)]
    _warn(broken, "hold half a character, which is stored as U+FFFD")
    _warn(short, "lack log-probabilities or places of some tokens, and get no score")
    if not broken and not short:
        return completions
    return [_with_scores_or_none(_without_half_characters(c)) for c in completions]


@contextmanager
def closing(engine: Engine) -> Iterator[None]:
    """Close an engine at the end; if that fails, the work stands, and its own error is told."""
    try:
        yield
    finally:
        try:
            engine.close()
        except Exception as error:  # noqa: BLE001 (any error of a library, which is reported)
            log.warning(
                "the engine did not stop cleanly (%s: %s); what was written is safe. Look for a "
                "process of it that is left over before you start the next one",
                type(error).__name__,
                why(error),
            )


def _warn(ids: Sequence[str], what: str) -> None:
    if ids:
        log.warning("%d completions, such as %s, %s", len(ids), ids[0], what)


def _has_half_characters(completion: Completion) -> bool:
    return has_surrogate(completion.text) or has_surrogate(completion.thinking or "")


def _without_half_characters(completion: Completion) -> Completion:
    thinking = completion.thinking
    return replace(
        completion,
        text=without_surrogates(completion.text),
        thinking=thinking and without_surrogates(thinking),
    )


def _is_complete(completion: Completion) -> bool:
    """Whether there is a place, and a log-probability if there are any, for each token."""
    places, scores = len(completion.token_starts), completion.token_logprobs
    if places != len(completion.token_ends):
        return False
    return scores is None or len(scores) == places


def _with_scores_or_none(completion: Completion) -> Completion:
    if _is_complete(completion):
        return completion
    if len(completion.token_starts) == len(completion.token_ends):
        return replace(completion, token_logprobs=None)
    return replace(completion, token_logprobs=None, token_starts=(), token_ends=())
