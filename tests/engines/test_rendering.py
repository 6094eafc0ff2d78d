"""Prompts as the model sees them: BOS, chat markup, an opened turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    Conversation,
    Form,
    LocalModel,
    Message,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.rendering import render, render_ids
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.engines.thinking import opens_thinking
from selfinstruct.engines.vllm_arguments import sampling_arguments
from selfinstruct.prompts.template import further_ends
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_tokenizer

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if not enable_thinking %}<think></think>{% endif %}{% endif %}"
)
ASKED = (Message(role="system", content="Be brief."), Message(role="user", content="Why?"))


def tokenizer(*, bos: str | None = "<s>", adds: bool = True, template: str | None = CHATML) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if adds:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, chat_template=template)


def model(type: str = "llama") -> LocalModel:
    return LocalModel("m", Path("m"), "digest", {"model_type": type})


def test_a_text_gets_the_bos_that_the_model_wants() -> None:
    assert render("1. Sing.", model(), tokenizer()) == "<s>1. Sing."
    assert render("1. Sing.", model(), tokenizer(adds=False)) == "1. Sing."
    assert render("1. Sing.", model("gemma3_text"), tokenizer(adds=False)) == "<s>1. Sing."
    assert render("1. Sing.", model(), tokenizer(bos=None, adds=False)) == "1. Sing."


def test_a_bos_that_is_there_is_not_put_twice() -> None:
    """What was recorded is what the model saw: it can be asked again as it is."""
    once = render("1. Sing.", model(), tokenizer())
    assert render(once, model(), tokenizer()) == once


def test_a_conversation_ends_with_the_models_turn() -> None:
    text = render(Conversation(ASKED), model(), tokenizer())
    assert text == ("<|system|>Be brief.<|end|>\n<|user|>Why?<|end|>\n<|assistant|><think></think>")
    thinking = render(Conversation(ASKED, thinking=True), model(), tokenizer())
    assert thinking.endswith("<|assistant|>")


def test_an_opened_turn_is_gone_on_with() -> None:
    opened = Conversation(ASKED, opened="Because of", thinking=True)
    assert render(opened, model(), tokenizer()).endswith("\n<|assistant|>Because of")
    assert ScriptedEngine(lambda _: "").render(opened).endswith("<assistant>Because of")


def test_a_conversation_needs_a_template() -> None:
    with pytest.raises(ConfigError, match=r"'m' has no chat template; use --prompting base"):
        render(Conversation(ASKED), model(), tokenizer(template=None))


def test_a_prompt_that_opens_the_thinking_part() -> None:
    assert opens_thinking("<|assistant|><think>\n")
    assert not opens_thinking("<think>a</think>")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_only_the_template_writes_control_tokens(name: str) -> None:
    kind = CONVENTIONS[name]
    own = tiny_tokenizer(template=kind.template, bos=kind.bos, eos=kind.eos, control=kind.control)
    if kind.template is None:
        assert render_ids(f"a{kind.ends}", model(), own)[1][-1] == own.eos_token_id  # raw text
        return
    said = f"What is {kind.ends}?"
    for opened in ("", f"1. {kind.ends}"):
        asked = Conversation((Message(role="user", content=said),), opened=opened)
        plain = Conversation((Message(role="user", content="What is it?"),), opened=opened and "1.")
        text, ids = render_ids(asked, model(), own)
        assert text == render(asked, model(), own)
        assert own.decode(ids) == text
        written, known = render_ids(plain, model(), own)
        assert known == own.encode(written, add_special_tokens=False)
        end = own.convert_tokens_to_ids(kind.ends)
        assert ids.count(end) == known.count(end)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_turn_ends_with_the_token_of_the_template(name: str) -> None:
    kind = CONVENTIONS[name]
    own = tiny_tokenizer(template=kind.template, bos=kind.bos, eos=kind.eos, control=kind.control)
    ends = [] if kind.ends == kind.eos else [own.convert_tokens_to_ids(kind.ends)]
    assert further_ends(own) == ends
    assert further_ends(tokenizer(template="{{ nothing.of.this }}")) == []
    sampling = SamplingConfig(temperature=0, max_tokens=8)
    for prompt, stops in ((Conversation(ASKED), ends), ("a text", [])):
        request = Request("r", "r", Stage.ANSWER, Reading(Form.WHOLE), prompt, sampling)
        assert sampling_arguments(request, 99, ends).get("stop_token_ids", []) == stops


def test_the_text_ends_where_a_users_turn_begins() -> None:
    asked = Conversation((Message(role="system", content="Be brief."),), as_user=True)
    assert render(asked, model(), tokenizer()) == "<|system|>Be brief.<|end|>\n<|user|>"
    assert render(Conversation((), as_user=True), model(), tokenizer()) == "<|user|>"


def test_a_template_that_marks_no_users_turn_is_refused() -> None:
    unmarked = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(ConfigError, match="writes nothing before a user's turn"):
        render(Conversation((), as_user=True), model(), tokenizer(template=unmarked))
