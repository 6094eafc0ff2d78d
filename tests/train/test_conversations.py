"""Conversations of several turns as tokens, in the conventions of families of models."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.prompts.canonical import OLDER_TEMPLATES
from selfinstruct.train.data.encode import (
    IGNORED,
    Encoded,
    EncodedRows,
    Note,
    encode_rows,
    prepare_tokenizer,
)
from selfinstruct.train.data.rows import read_rows
from selfinstruct.train.data.turns import TrainRow, conversation_row, task_row
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_tokenizer


def turn(role: str, content: str, **more: Any) -> Message:
    return Message(role=role, content=content, **more)  # type: ignore[typeddict-item]


TURNS = (
    turn("system", "Be brief."),
    turn("user", "Name a colour."),
    turn("assistant", "Red."),
    turn("user", "Another?"),
    turn("assistant", "Blue, or green."),
    turn("user", "The last?"),
    turn("assistant", "White."),
)
ANSWERS = ["Red.", "Blue, or green.", "White."]
ROW = conversation_row("talk", TURNS)


def tokenizer_for(name: str, **prepared: Any) -> Any:
    convention = CONVENTIONS[name]
    tokenizer = tiny_tokenizer(
        template=convention.template,
        bos=convention.bos,
        eos=convention.eos,
        control=convention.control,
    )
    prepare_tokenizer(tokenizer, **prepared)
    return tokenizer


def encoded(tokenizer: Any, *rows: TrainRow, **how: Any) -> list[Encoded]:
    found = encode_rows(rows, tokenizer, max_length=4096, diverse=False, seed=0, **how)
    assert found.too_long == []
    return found.rows


def learnt(tokenizer: Any, row: Encoded) -> list[str]:
    """The text of each span that is learnt."""
    spans: list[list[int]] = [[]]
    for token, label in zip(row.input_ids, row.labels, strict=True):
        if label == IGNORED:
            spans.append([])
        else:
            assert label == token
            spans[-1].append(token)
    return [tokenizer.decode(span) for span in spans if span]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_token_that_ends_an_answer_is_found(name: str) -> None:
    assert tokenizer_for(name).eos_token == CONVENTIONS[name].ends


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_answer_is_learnt_with_its_end_and_nothing_else(name: str) -> None:
    convention = CONVENTIONS[name]
    tokenizer = tokenizer_for(name)
    rows = encoded(tokenizer, ROW)
    spans = [learnt(tokenizer, row) for row in rows]
    if convention.rewrites:
        assert spans == [[f"{answer}{convention.ends}"] for answer in ANSWERS]
    else:
        # Mistral and Llama 2 write a space before an answer, and Llama 2 one behind it.
        assert [[span.replace(" <", "<").lstrip() for span in row] for row in spans] == [
            [f"{answer}{convention.ends}" for answer in ANSWERS]
        ]
    # The tokens are those of the whole text, as transformers writes and encodes it.
    turns = list(TURNS)
    if name in ("Gemma 2", "Mistral"):  # they have no system role
        turns = [turn("user", "Be brief.\n\nName a colour."), *TURNS[2:]]
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    text = whole[: whole.index(convention.ends, whole.index("White.")) + len(convention.ends)]
    assert rows[-1].input_ids == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_last_answer_alone(name: str) -> None:
    convention = CONVENTIONS[name]
    tokenizer = tokenizer_for(name)
    [row] = encoded(tokenizer, ROW, last_turn_only=True)
    assert learnt(tokenizer, row) == [f"White.{convention.ends}"]


def test_the_labels_of_a_chatml_conversation() -> None:
    tokenizer = tokenizer_for("SmolLM")
    [row] = encoded(tokenizer, ROW)
    assert shown(tokenizer, row) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName a colour.<|im_end|>\n"
        "<|im_start|>assistant\n[Red.<|im_end|>]\n<|im_start|>user\nAnother?<|im_end|>\n"
        "<|im_start|>assistant\n[Blue, or green.<|im_end|>]\n"
        "<|im_start|>user\nThe last?<|im_end|>\n<|im_start|>assistant\n[White.<|im_end|>]"
    )


def test_the_labels_of_a_gemma_like_conversation() -> None:
    tokenizer = tokenizer_for("Gemma 2")
    [row] = encoded(tokenizer, ROW)
    assert shown(tokenizer, row) == (
        "<bos><start_of_turn>user\nBe brief.\n\nName a colour.<end_of_turn>\n"
        "<start_of_turn>model\n[Red.<end_of_turn>]\n<start_of_turn>user\nAnother?<end_of_turn>\n"
        "<start_of_turn>model\n[Blue, or green.<end_of_turn>]\n"
        "<start_of_turn>user\nThe last?<end_of_turn>\n<start_of_turn>model\n[White.<end_of_turn>]"
    )


def test_the_labels_of_a_canonical_conversation() -> None:
    tokenizer = tokenizer_for("no template")
    [row] = encoded(tokenizer, ROW)
    assert shown(tokenizer, row) == (
        "<s>Be brief.\n\n### Task\nName a colour.\n\n### Answer\n[Red.<|endoftext|>]\n\n"
        "### Task\nAnother?\n\n### Answer\n[Blue, or green.<|endoftext|>]\n\n"
        "### Task\nThe last?\n\n### Answer\n[White.<|endoftext|>]"
    )


def shown(tokenizer: Any, row: Encoded) -> str:
    """The text of a row, with what is learnt in brackets."""
    text, was_learnt = "", False
    for token, label in zip(row.input_ids, row.labels, strict=True):
        is_learnt = label != IGNORED
        text += {(False, True): "[", (True, False): "]"}.get((was_learnt, is_learnt), "")
        text += tokenizer.decode([token])
        was_learnt = is_learnt
    return text + ("]" if was_learnt else "")


def test_a_file_of_conversations_is_learnt_turn_by_turn(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    sharegpt = [{"from": turn["role"], "value": turn["content"]} for turn in TURNS]
    prompted = {"prompt": list(TURNS[:-1]), "completion": [TURNS[-1]]}
    lines = [{"messages": list(TURNS)}, {"conversations": sharegpt}, prompted]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_rows(file).rows
    assert [row.messages for row in rows] == [TURNS] * 3
    assert [row.instruction for row in rows] == ["Name a colour."] * 3
    tokenizer = tokenizer_for("SmolLM")
    first, *others = encoded(tokenizer, *rows)
    assert [row.input_ids for row in others] == [first.input_ids] * 2


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (TURNS[:2], "has no prompt or no answer"),
        ((TURNS[2], *TURNS[1:3]), "is a turn of the assistant before the user's first"),
        ((*TURNS[1:3], TURNS[0], *TURNS[1:3]), "is a system prompt amid the conversation"),
        ((turn("user", " "), TURNS[2]), "is empty; write the turn"),
        ((turn("critic", "x"), TURNS[2]), 'is "critic"; give system, user, assistant or tool'),
        ((turn("user", "x"), {"role": "assistant"}), 'content" is not a text but null'),
        (("x", TURNS[2]), 'is "x"; give a turn of'),
    ],
)
def test_turns_that_cannot_be_learnt(tmp_path: Path, turns: Any, message: str) -> None:
    file = tmp_path / "talks.jsonl"
    file.write_text(json.dumps({"messages": TURNS}) + "\n" + json.dumps({"messages": turns}))
    with pytest.raises(ConfigError, match=rf"talks.jsonl:2: .*{message}"):
        read_rows(file)


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
TOOLS = (
    turn("user", "1 + 2?"),
    turn("assistant", "", tool_calls=[CALL]),
    turn("tool", "3", name="add"),
    turn("assistant", "It is 3."),
)


def test_calls_of_tools_are_learnt_where_the_template_has_them() -> None:
    tokenizer = tokenizer_for("Qwen 2.5, instruct")
    [row] = encoded(tokenizer, conversation_row("tools", TOOLS))
    assert learnt(tokenizer, row) == [
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call><|im_end|>',
        "It is 3.<|im_end|>",
    ]
    assert "<tool_response>\n3\n</tool_response>" in tokenizer.decode(row.input_ids)
    [call] = encoded(tokenizer, conversation_row("call", TOOLS[:2]))
    assert learnt(tokenizer, call) == learnt(tokenizer, row)[:1]


@pytest.mark.parametrize("name", [name for name, kind in CONVENTIONS.items() if kind.takes_tools])
def test_arguments_in_a_text_are_read_as_json(name: str, tmp_path: Path) -> None:
    written = {"id": "c1", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    file = tmp_path / "tools.jsonl"
    called = {"role": "assistant", "content": None, "tool_calls": [written]}
    file.write_text(json.dumps({"messages": [TOOLS[0], called, *TOOLS[2:]]}))
    tokenizer = tokenizer_for(name)
    [read] = encoded(tokenizer, *read_rows(file).rows)
    [known] = encoded(tokenizer, conversation_row("tools", TOOLS))
    assert read.input_ids == known.input_ids


@pytest.mark.parametrize(
    "name", [name for name, kind in CONVENTIONS.items() if not kind.takes_tools]
)
def test_calls_of_tools_are_refused_where_the_template_has_none(name: str) -> None:
    with pytest.raises(ConfigError, match=r"row tools: .*no form for tool calls"):
        encoded(tokenizer_for(name), conversation_row("tools", TOOLS))


ADD: dict[str, Any] = {
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
SCHEMA = {"type": "function", "function": ADD}


@pytest.mark.parametrize(
    "column",
    [
        {"tools": [SCHEMA]},
        {"tools": json.dumps([SCHEMA])},
        {"tools": [ADD]},
        {"tools": json.dumps([ADD])},
        {"tools": [json.dumps(ADD)]},
        {"functions": [{**ADD, "strict": None, "parameters": json.dumps(ADD["parameters"])}]},
    ],
)
def test_the_tools_of_a_row_stand_in_the_template(column: Any, tmp_path: Path) -> None:
    file = tmp_path / "tools.jsonl"
    sharegpt = [{"from": turn["role"], "value": turn["content"]} for turn in TURNS[:3]]
    lines = [
        {"messages": list(TURNS[:3])},
        {"conversations": sharegpt},
        {"prompt": list(TURNS[:2]), "completion": [TURNS[2]]},
        {"system": "Be brief.", "instruction": "Name a colour.", "output": "Red."},
    ]
    file.write_text("".join(json.dumps({**line, **column}) + "\n" for line in lines))
    tokenizer = tokenizer_for("Qwen 2.5, instruct")
    rows = read_rows(file).rows
    assert [row.tools for row in rows] == [(SCHEMA,)] * 4
    own = tokenizer.apply_chat_template(list(TURNS[:3]), tools=[SCHEMA], tokenize=False)
    assert '<tools>{"type": "function", "function": {"name": "add",' in own
    for row in encoded(tokenizer, *rows):
        assert tokenizer.decode(row.input_ids) == own.rstrip("\n")
        assert learnt(tokenizer, row) == ["Red.<|im_end|>"]
    for diverse in encode_rows(rows, tokenizer, max_length=4096, diverse=True, seed=0).rows:
        assert "<tools>" in tokenizer.decode(diverse.input_ids)


def test_every_answer_of_a_conversation_sees_the_tools() -> None:
    tokenizer = tokenizer_for("Qwen 2.5, instruct")
    row = replace(conversation_row("r", (*TOOLS, *TURNS[3:5])), tools=(SCHEMA,))
    [whole] = encoded(tokenizer, row)
    text = tokenizer.decode(whole.input_ids)
    assert text.count("<tools>") == 1
    assert len(learnt(tokenizer, whole)) == 3
    [last] = encoded(tokenizer, row, last_turn_only=True)
    assert last.input_ids == whole.input_ids


def test_control_tokens_in_tools_are_characters() -> None:
    tokenizer = tokenizer_for("Qwen 2.5, instruct")
    hostile = {"type": "function", "function": {**ADD, "description": "Ends <|im_end|> it."}}
    [plain], [row] = (encoded(tokenizer, replace(ROW, tools=(tool,))) for tool in (SCHEMA, hostile))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert row.input_ids.count(end) == plain.input_ids.count(end)
    assert "Ends <|im_end|> it." in tokenizer.decode(row.input_ids)


@pytest.mark.parametrize(
    "name", [name for name, kind in CONVENTIONS.items() if not kind.takes_tools]
)
def test_tools_are_refused_where_the_template_has_no_form_for_them(name: str) -> None:
    row = replace(ROW, tools=(SCHEMA,))
    with pytest.raises(ConfigError, match=r"row talk: .*no form for the functions.*--columns"):
        encoded(tokenizer_for(name), row)


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ("{add", r'"tools" is "\{add", which is not JSON'),
        ([{"parameters": {}}], r'"tools\[0\]" is .* give \{"type": "function"'),
        ([{**ADD, "parameters": "{"}], r'"tools\[0\]" has parameters that are not JSON'),
    ],
)
def test_tools_that_are_none(tools: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "tools.jsonl"
    file.write_text(json.dumps({"messages": TURNS[1:3], "tools": tools}))
    with pytest.raises(ConfigError, match=rf"tools.jsonl:1: {message}"):
        read_rows(file)


def rows_with(tokenizer: Any, user: str, answer: str) -> EncodedRows:
    row = task_row("r", user, user, answer)
    return encode_rows([row], tokenizer, max_length=4096, diverse=False, seed=0)


def test_control_tokens_of_the_data_are_characters_or_left_out() -> None:
    tokenizer = tokenizer_for("SmolLM")
    plain = rows_with(tokenizer, "What is it?", "A mark.")
    assert plain.notes == Counter()
    ended = rows_with(tokenizer, "What is it?", "A mark.<|im_end|>\n")
    assert (ended.rows, ended.notes) == (plain.rows, Counter({Note.ENDED: 1}))
    within = rows_with(tokenizer, "What is <|im_end|>?", "<|endoftext|> is a mark.")
    assert within.notes == Counter({Note.AS_TEXT: 1})
    [row] = within.rows
    assert tokenizer.decode(row.input_ids) == (
        "<|im_start|>user\nWhat is <|im_end|>?<|im_end|>\n<|im_start|>assistant\n"
        "<|endoftext|> is a mark.<|im_end|>"
    )
    own = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    assert [row.input_ids.count(token) for token in own] == [2, 2, 0]


def test_control_tokens_within_a_conversation_end_no_turn() -> None:
    tokenizer = tokenizer_for("Gemma 2")
    turns = (*TURNS[:4], turn("assistant", "It is <end_of_turn>, or <eos>"), *TURNS[5:])
    [row] = encoded(tokenizer, conversation_row("r", turns))
    assert learnt(tokenizer, row) == [
        "Red.<end_of_turn>",
        "It is <end_of_turn>, or<end_of_turn>",
        "White.<end_of_turn>",
    ]
    ends = row.input_ids.count(tokenizer.eos_token_id)
    assert ends == 6  # three turns of the user, three answers


THOUGHT = "<think>\nIt is easy.\n</think>\n\nRed."


def test_an_answer_that_thinks_gets_no_second_part_to_think_in() -> None:
    tokenizer = tokenizer_for("Qwen 3")
    [row] = rows_with(tokenizer, "Name a colour.", THOUGHT).rows
    assert shown(tokenizer, row) == (
        "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
        "[<think>\nIt is easy.\n</think>\n\nRed.<|im_end|>]"
    )
    [row] = rows_with(tokenizer, "Name a colour.", "Red.").rows
    assert shown(tokenizer, row).endswith("assistant\n<think>\n\n</think>\n\n[Red.<|im_end|>]")


def test_an_opened_part_to_think_in_is_not_opened_again() -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    tokenizer = tiny_tokenizer(template=template, eos="<|im_end|>", control=["<|im_start|>"])
    [row] = rows_with(tokenizer, "Name a colour.", THOUGHT).rows
    assert shown(tokenizer, row).endswith(
        "assistant\n<think>\n[It is easy.\n</think>\n\nRed.<|im_end|>]"
    )


def test_thinking_in_earlier_turns_is_learnt_as_it_was_written() -> None:
    tokenizer = tokenizer_for("Qwen 3")
    turns = (TURNS[1], turn("assistant", THOUGHT), TURNS[3], turn("assistant", THOUGHT))
    found = encode_rows(
        [conversation_row("r", turns)], tokenizer, max_length=4096, diverse=False, seed=0
    )
    assert found.notes == Counter({Note.BY_TURN: 1})
    first, second = found.rows
    assert learnt(tokenizer, first) == learnt(tokenizer, second) == [f"{THOUGHT}<|im_end|>"]
    # As the template writes it once another turn follows.
    asked = tokenizer.apply_chat_template(
        list(turns[:3]), tokenize=False, add_generation_prompt=True
    )
    assert shown(tokenizer, second).startswith(f"{asked}[")


def test_a_choice_of_the_token_that_ends_answers(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = tokenizer_for("Phi", eos_token="<|endoftext|>")
    assert tokenizer.eos_token == "<|endoftext|>"
    spans = [learnt(tokenizer, row) for row in encoded(tokenizer, ROW)]
    assert spans == [[f"{answer}<|endoftext|>"] for answer in ANSWERS]
    caplog.clear()
    tokenizer_for("Phi")
    assert "answers end with '<|end|>', as the chat template writes them" in caplog.text
    for name in ("Phi", "no template"):
        for wrong in ("<|stop|>", "two words", ""):
            with pytest.raises(
                ConfigError, match=f"--eos-token '{re.escape(wrong)}': is not a token"
            ):
                tokenizer_for(name, eos_token=wrong)


def test_a_model_of_earlier_gets_the_template_of_today_and_writes_the_same_tasks() -> None:
    today = tokenizer_for("no template")
    earlier = tiny_tokenizer(template=OLDER_TEMPLATES[0], bos="<s>", eos="<|endoftext|>")
    row = task_row("r", "Do.", "Do.\n\nThis.", "Done.")
    turns = [dict(message) for message in row.messages]
    assert earlier.apply_chat_template(turns) == today.apply_chat_template(turns)
    asked = {"add_generation_prompt": True}
    assert earlier.apply_chat_template(turns[:1], **asked) == today.apply_chat_template(
        turns[:1], **asked
    )
    assert prepare_tokenizer(earlier) is False
    assert encoded(earlier, row, ROW) == encoded(today, row, ROW)
