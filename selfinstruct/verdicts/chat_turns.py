"""One turn of a self-chat: read from its completion, and checked by the rules on its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.chats import USER, ChatTurn, role_of
from selfinstruct.common.records import REJECTED, Completion
from selfinstruct.common.versions import CHATS_VERSION
from selfinstruct.filters.likelihood import score_span
from selfinstruct.filters.rule import (
    Failure,
    InstanceFacts,
    InstructionFacts,
    Of,
    When,
    first_failure,
)
from selfinstruct.filters.turns import (
    NOT_OF_REPLIES,
    USER_RULES,
    TurnFacts,
    is_about_example,
    is_answer,
    says_done,
    shared_share,
)
from selfinstruct.verdicts.parse.turns import READ_TURN
from selfinstruct.verdicts.rulebook import Rulebook


@dataclass(frozen=True)
class ChatSettings:
    """What self-chats are judged by, beside the run's rules: part of each commit's JSON.

    turns: most exchanges, the opening included.
    max_shared: the largest share of a turn that an earlier one may have too.
    speakers: the name before the turns of each role, as the prompts have it.
    ends, polite: phrases by which the user ends a conversation.
    answers: phrases by which an answer starts, and no turn of the user.
    subjects: words that the examples in the prompts are about.
    shown: turns of those examples, and sentences of the prompts.
    """

    turns: int
    max_shared: float
    speakers: Mapping[str, str]
    ends: Sequence[str]
    polite: Sequence[str]
    answers: Sequence[str]
    subjects: Sequence[str]
    shown: Sequence[str]
    version: int = CHATS_VERSION


def settings_of(info: Mapping[str, Any]) -> ChatSettings:
    """Return the settings of a commit, from its JSON."""
    stored = info["settings"]
    return ChatSettings(**{field.name: stored[field.name] for field in fields(ChatSettings)})


def check_turn(
    completion: Completion,
    earlier: Sequence[ChatTurn],
    rulebook: Rulebook,
    settings: ChatSettings,
) -> ChatTurn:
    """Read the next turn and check it by the rules on its text.

    Args:
        completion: of the request for it.
        earlier: the turns before it, in order; none of them was rejected.
        rulebook: config and templates of the run.
        settings: of the self-chats.
    """
    number, chat_id = len(earlier), earlier[0].chat_id
    reading = completion.request.reading
    parsed = READ_TURN.at(settings.version)(completion.text, completion.finish_reason, reading)
    span = score_span(completion, *parsed.output_span)
    shared, shared_with = _most_shared(parsed.output, number, earlier, rulebook.version)
    turn = ChatTurn(
        id=ids.turn(chat_id, number),
        chat_id=chat_id,
        number=number,
        role=role_of(number),
        completion_id=completion.id,
        char_start=parsed.output_span[0],
        char_end=parsed.output_span[1],
        text=parsed.output,
        mean_logprob=span.mean_logprob,
        num_tokens=span.num_tokens,
        unscored_reason=span.unscored_reason,
        shared=shared,
        shared_with=shared_with,
        cut=parsed.cut,
    )
    failure = _text_failure(turn, earlier, rulebook, settings, truncated=parsed.truncated)
    return with_failure(turn, failure)


def _most_shared(
    text: str, number: int, earlier: Sequence[ChatTurn], version: int
) -> tuple[float, str | None]:
    """Return the largest share that an earlier turn has too, and that turn; the first of equals."""
    shares = [
        (shared_share(text, turn.text, version, by_rouge=turn.role == role_of(number)), turn.id)
        for turn in earlier
        # An answer may well quote the text that it works on.
        if role_of(number) == USER or turn.role != USER
    ]
    share, id = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    return share, id if share > 0 else None


def _text_failure(
    turn: ChatTurn,
    earlier: Sequence[ChatTurn],
    rulebook: Rulebook,
    settings: ChatSettings,
    *,
    truncated: bool,
) -> Failure | None:
    """Return the first rule that a turn's text breaks, or None."""
    config, is_user = rulebook.config, turn.role == USER
    done = is_user and says_done(turn.text, settings.ends, settings.polite)
    answers = is_user and is_answer(turn.text, settings.answers)
    own = TurnFacts(
        turn.text,
        done=done,
        answers=answers,
        shown=settings.shown,
        strays=is_about_example(turn.text, [one.text for one in earlier], settings.subjects),
        shared=turn.shared,
        most_shared=settings.max_shared,
    )
    rules = rulebook.rules(Of.TURN, When.TEXT, When.TEXT)
    repeats = [rule for rule in rules if rule.measure is not None]
    failure = first_failure([rule for rule in rules if rule.measure is None], own, config)
    if failure is not None:
        return failure
    facts: InstructionFacts | InstanceFacts
    if is_user:
        facts = InstructionFacts(turn.text, truncated)
        others = rulebook.rules(Of.INSTRUCTION, When.TEXT, When.TEXT)
        others = [rule for rule in others if rule.name in USER_RULES]
    else:
        asked = earlier[-1].text
        facts = InstanceFacts(asked, "", turn.text, truncated, rulebook.markers)
        others = rulebook.rules(Of.INSTANCE, When.TEXT, When.TEXT)
        others = [rule for rule in others if rule.name not in NOT_OF_REPLIES]
    return first_failure(others, facts, config) or first_failure(repeats, own, config)


def with_failure(turn: ChatTurn, failure: Failure | None) -> ChatTurn:
    """Return a turn as rejected for a failure, if there is one; else as it is."""
    if failure is None:
        return turn
    return replace(turn, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)
