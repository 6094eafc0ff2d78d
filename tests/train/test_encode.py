"""Rows as tokens: the template of a base model, what is learnt of a row, what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.prompts.canonical import canonical_text
from selfinstruct.train.data.encode import ENCODINGS, IGNORED, encode_rows, prepare_tokenizer
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import task_row
from tests.train.sft_runs import ROWS, tokenizer_of, train


def test_the_template_that_a_base_model_gets_writes_the_canonical_text(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    assert prepare_tokenizer(tokenizer)
    messages = [
        Message(role="user", content="Name it.\n\nA dog."),
        Message(role="assistant", content="Rex"),
        Message(role="user", content="And now?"),
    ]
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # The same characters, but for the marks that raw text does not have.
    assert chat.replace("<start>", "").replace("<end>", "") == canonical_text(messages)


def test_the_loss_is_on_the_answer_and_its_end_alone(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    found = encode_rows(ROWS, tokenizer, max_length=256, diverse=False, seed=0)
    for row, one in zip(ROWS, found.rows, strict=True):
        learnt = [token for token in one.labels if token != IGNORED]
        assert tokenizer.decode(learnt) == f"{row.answer}<end>"
        assert one.input_ids[-len(learnt) :] == learnt
        prompt = tokenizer.decode(one.input_ids[: -len(learnt)])
        assert prompt == f"<start>### Task\n{row.users[0]}\n\n### Answer\n"
    assert found.too_long == []


def test_half_of_the_rows_of_a_base_model_are_put_otherwise(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    rows = [task_row(str(n), "u", f"user {n}", "answer") for n in range(300)]
    found = encode_rows(rows, tokenizer, max_length=256, diverse=True, seed=0)
    texts = [tokenizer.decode(one.input_ids) for one in found.rows]
    canonical = sum("### Task" in text for text in texts)
    assert 110 < canonical < 190
    for encoding in ENCODINGS:
        written = [f"<start>{encoding.format(user=row.users[0])}answer<end>" for row in rows]
        assert set(written) & set(texts), encoding
    again = encode_rows(rows, tokenizer, max_length=256, diverse=True, seed=0)
    assert [one.input_ids for one in again.rows] == [one.input_ids for one in found.rows]


def test_rows_that_are_too_long_are_left_out_and_counted(model: LocalModel, tmp_path: Path) -> None:
    long = task_row("long", "x", "x" * 400, "y")
    result = train(model, tmp_path / "out", Split([long, *ROWS[:8]], [long], []))
    assert (result.too_long, result.train_rows, result.validation_rows) == (2, 8, 0)
    with pytest.raises(ConfigError, match="all 1 rows have more than 64 tokens"):
        train(model, tmp_path / "other", Split([long], [], []), max_length=64)
    assert not (tmp_path / "other").exists()
