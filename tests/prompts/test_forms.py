"""A prompt that is filled in is the prompt that Jinja renders."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.prompts import load_prompts
from selfinstruct.prompts.forms import _MARKS, Fixed
from selfinstruct.prompts.library import PromptLibrary, prompts_from_files

LIBRARY = load_prompts()
NAMES = ("classify", "input_first", "output_first", "direct", "answer")
FILES = [name for name in LIBRARY.files if name.endswith(".jinja") and name.split(".")[0] in NAMES]
ODD = ["{{", "}}", "{% if %}", "\ue000user\ue001", *_MARKS, "\n", " ", "é", "<b>", "", "0"]
INSTRUCTIONS = st.lists(st.sampled_from(ODD) | st.text(max_size=4), max_size=6).map("".join)


def values(instruction: str, word: str = "a", **others: Any) -> dict[str, Any]:
    exemplars = [
        {
            "instruction": f"Name {word}.",
            "is_classification": number % 2 == 0,
            "input": "" if number else word,
            "output": f"{word}\ue000",
            "instances": [{"input": word, "output": word}] * 2,
        }
        for number in range(3)
    ]
    return {"instruction": instruction, "exemplars": Fixed(exemplars), "opened": "", **others}


def full(library: PromptLibrary, name: str, given: dict[str, Any]) -> str:
    """Render without what was cut before: a plain list is no key."""
    given = {**given, "exemplars": list(given["exemplars"])}
    return library._render(name, given)


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=30)
@given(instruction=INSTRUCTIONS, word=st.sampled_from(["a", *ODD]), opens=st.booleans())
def test_shipped_templates(name: str, instruction: str, word: str, opens: bool) -> None:
    others = {"input": word} if name.startswith("answer") else {}
    given = values(instruction, word, can_open=opens, **others)
    for text in (instruction, "another", instruction):
        one = {**given, "instruction": text}
        assert LIBRARY.text(name, **one) == full(LIBRARY, name, one)


def test_the_templates_of_a_run_are_cut() -> None:
    for name in ("classify.base.jinja", "input_first.base.jinja", "output_first.base.jinja"):
        given = values("Sing.")
        first = LIBRARY.text(name, **given)
        assert LIBRARY._forms.filled(name, given) == first
        assert LIBRARY._forms.filled(name, {**given, "instruction": "Hum."}) == first.replace(
            "Sing.", "Hum."
        )


@pytest.mark.parametrize(
    "template",
    [
        "{{ instruction | upper }}",
        "{% if instruction == 'b' %}!{% endif %}{{ instruction }}",
        "{% set instruction = instruction[:1] %}{{ instruction }}",
        "{% for c in instruction %}{{ c }}{% endfor %}",
        "{% filter upper %}{{ instruction }}{% endfilter %}",
        "{% macro m() %}{{ instruction }}{% endmacro %}{{ m() | length }}",
        "{% set all %}{{ instruction }}{% endset %}{{ all | length }}",
        "{{ turn(instruction) if instruction == 'user' else '' }}",
        "{% include 'classify.base.jinja' %}",
        "{% set _ = exemplars.append({'instruction': instruction}) %}{{ exemplars }}",
        "{{ exemplars | random }}{{ instruction }}",
        "{% with x = instruction %}{{ x }}{% endwith %}",
        "{{ instruction ~ 'x' }}",
    ],
)
def test_a_template_that_looks_at_its_instruction_is_rendered_each_time(template: str) -> None:
    library = prompts_from_files({**LIBRARY.files, "direct.base.jinja": template})
    given = values("a")
    assert library._forms.filled("direct.base.jinja", given) is None
    if "random" not in template:
        for text in ("a", "bb", "user"):
            one = {**given, "instruction": text}
            assert library.text("direct.base.jinja", **one) == full(
                library, "direct.base.jinja", one
            )


def test_a_mark_in_a_value_is_seen() -> None:
    given = values("a", word=_MARKS[0])
    assert LIBRARY._forms.filled("classify.base.jinja", given) is None


def test_other_values_make_another_form() -> None:
    first, second = values("a"), values("a", word="b")
    texts = {LIBRARY.text("classify.base.jinja", **one) for one in (first, second)}
    assert len(texts) == 2
    for more in ({"topic": 7}, {"input": "a"}, {"exemplars": list(first["exemplars"])}):
        assert LIBRARY._forms.filled("classify.base.jinja", {**first, **more}) is None


def test_more_forms_than_are_kept() -> None:
    for number in range(200):
        given = values("a", word=str(number))
        assert LIBRARY.text("classify.base.jinja", **given) == full(
            LIBRARY, "classify.base.jinja", given
        )
