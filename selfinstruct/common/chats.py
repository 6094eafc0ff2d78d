"""The records of self-chats: conversations in which the model plays both sides.

Xu et al. 2023 (Baize, arXiv:2304.01196). A *self-chat* is opened by a task of the run; each *turn*
after that is one completion. An *exchange* is a turn of the user and the assistant's reply.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.common.records import NAN

USER = "user"
ASSISTANT = "assistant"
# Turns that the task gives: what the user asked, and the output.
OPENING_TURNS = 2


def role_of(number: int) -> str:
    """Return who says a turn: the user the even ones, counted from 0."""
    return ASSISTANT if number % 2 else USER


@dataclass(frozen=True, slots=True)
class SelfChat:
    """A row of conversations.parquet.

    instruction_id, instance_id: the task that opens it.
    round: of the instruction.
    opened_by: how the task had passed: `rules`, or a `person` (restored, edited or typed).
    rouge_l, neighbour_id: novelty of the opening, as the instruction's row has them.
    exchanges: exchanges that are kept, the opening included; 0 if it is rejected.
    ended: why it went no further: `turns` (as many as were wanted), `no_room` (the model's
        context is full), or the reason of the turn that ended it.
    """

    id: str
    instruction_id: str
    instance_id: str
    round: int
    opened_by: str
    rouge_l: float = NAN
    neighbour_id: str | None = None
    exchanges: int = 0
    ended: str | None = None
    verdict: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """A row of turns.parquet. `char_start:char_end` is its text in its completion.

    completion_id: None for the turns of the opening, which the task gives.
    shared: the largest share of it that an earlier turn has too; NaN for the opening.
    shared_with: that turn's id.
    threshold: the limit that the deciding rule compared with.
    cut: chat around the text that was cut off.
    """

    id: str
    chat_id: str
    number: int
    role: str
    completion_id: str | None
    char_start: int
    char_end: int
    text: str
    mean_logprob: float = NAN
    num_tokens: int = 0
    unscored_reason: str | None = None
    logprob_threshold: float | None = None
    shared: float = NAN
    shared_with: str | None = None
    verdict: str | None = None
    reason: str | None = None
    threshold: float | None = None
    cut: str | None = None

    @property
    def is_opening(self) -> bool:
        """Whether the task gives it."""
        return self.completion_id is None
