"""A conversation as pieces of text in a chat template: what is read, and what is learnt.

Each answer is learnt behind exactly the text that the model sees before it writes that answer.
Where the template writes earlier turns in the same way, all answers are learnt from one sequence.
Some templates write them otherwise later (templates of models that think leave out what was
thought before). Then each answer is learnt from a sequence of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.engines.thinking import begins_with_thinking, continued_thinking
from selfinstruct.prompts.chat_template import Tools, chat_template
from selfinstruct.prompts.text_tokens import TextTokens


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sequence. What is learnt ends with the token that ends an answer."""

    text: str
    learnt: bool


def conversation_pieces(
    messages: Sequence[Message],
    tokenizer: Any,
    *,
    last_turn_only: bool = False,
    tools: Tools = (),
) -> list[list[Piece]]:
    """Return the sequences of a conversation that ends with an answer.

    Args:
        messages: the turns.
        tokenizer: has a chat template; its end-of-sequence token ends an answer.
        last_turn_only: learn the last answer alone.
        tools: the functions that the model may call.

    Raises:
        ConfigError: the template refuses the conversation.
    """
    answers = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
    if last_turn_only or len(answers) == 1:
        return [_one_answer(messages, tokenizer, tools)]
    whole = _all_answers(messages, answers, tokenizer, tools)
    if whole is not None:
        return [whole]
    return [_one_answer(messages[: place + 1], tokenizer, tools) for place in answers]


def piece_ids(
    pieces: Sequence[Piece], tokens: TextTokens, *, mark: str, end: str
) -> list[tuple[list[int], bool]]:
    """Return the token ids of each piece, and whether it is learnt.

    Args:
        pieces: of one sequence.
        tokens: encodes them.
        mark: of control tokens in the content.
        end: the token that ends an answer.
    """
    encoded = []
    before = ""
    for piece in pieces:
        # What a model writes is encoded apart from its prompt, as it is when it writes it.
        ids = tokens.encode(piece.text, mark, after="" if piece.learnt else before)
        encoded.append((ids, piece.learnt))
        before = end if piece.learnt else ""
    return encoded


def _one_answer(messages: Sequence[Message], tokenizer: Any, tools: Tools) -> list[Piece]:
    *before, answer = messages
    end = str(tokenizer.eos_token)
    template = chat_template(tokenizer)
    asked = template.text(before, thinking=begins_with_thinking(answer["content"]), tools=tools)
    if not answer.get("tool_calls"):
        learnt = f"{continued_thinking(asked, answer['content'])}{end}"
        return [Piece(asked, False), Piece(learnt, True)]
    for thinking in (False, True):
        asked = template.text(before, thinking=thinking, tools=tools)
        finished = template.finished(messages, thinking=thinking, tools=tools)
        written = _written(finished, asked, answer, end)
        if written is not None:
            return [Piece(asked, False), Piece(written, True)]
    raise ConfigError(
        "the chat template writes a finished tool call otherwise than it asks for one, so that "
        "it cannot be learnt; leave these conversations out"
    )


def _all_answers(
    messages: Sequence[Message], answers: Sequence[int], tokenizer: Any, tools: Tools
) -> list[Piece] | None:
    """Return one sequence in which all answers are learnt; None if the template rewrites turns."""
    end = str(tokenizer.eos_token)
    template = chat_template(tokenizer)

    def asked_before(place: int) -> str:
        thinking = begins_with_thinking(messages[place]["content"])
        return template.text(messages[:place], thinking=thinking, tools=tools)

    asked = [asked_before(place) for place in answers]
    following = [*asked[1:], template.finished(messages, tools=tools)]
    pieces: list[Piece] = []
    done = ""
    for place, prompt, later in zip(answers, asked, following, strict=True):
        written = _written(later, prompt, messages[place], end)
        if not prompt.startswith(done) or written is None:
            return None
        pieces += [Piece(prompt[len(done) :], False), Piece(written, True)]
        done = f"{prompt}{written}"
    return pieces


def _written(later: str, asked: str, answer: Message, end: str) -> str | None:
    """Return what a later text has behind a prompt, up to the end of the answer.

    None if the text does not continue the prompt with this answer.
    """
    text, found, _ = later[len(asked) :].partition(end)
    if not later.startswith(asked) or not found:
        return None
    own = continued_thinking(asked, answer["content"])
    return f"{text}{end}" if answer.get("tool_calls") or text.strip() == own.strip() else None
