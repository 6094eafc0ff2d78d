"""Templates of the styles: which run has which, and what is refused in their YAML files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.config.styles import OPERATIONS, STYLES
from selfinstruct.prompts import load_prompts, prompts_from_files


@pytest.mark.parametrize("style", STYLES.values(), ids=str)
def test_a_library_has_the_templates_of_its_style_alone(style: object) -> None:
    files = set(load_prompts().files)
    own = set(load_prompts(style=style.name).files) - files  # type: ignore[attr-defined]
    assert {name.partition(".")[0] for name in own} == set(style.templates)  # type: ignore[attr-defined]


def test_every_operation_has_words_and_a_worked_example() -> None:
    library = load_prompts(style="evolve")
    assert list(library.style.operations) == [operation.name for operation in OPERATIONS]
    assert len(library.style.tasks) == 2 * len(OPERATIONS)
    assert library.stop["evolve"] == ["\n"]


def test_lines_of_a_styles_template_count_as_its_prompt() -> None:
    own = load_prompts(style="unnatural").own_lines() - load_prompts().own_lines()
    assert "the tasks differ in subject and in kind." in own


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"operations": {"deepn": {"change": "a", "task": "b", "result": "c"}}}, "'deepen'"),
        ({"operations": {"deepen": {"change": ""}}}, r"operations\.deepen\.change"),
        ({"colour": 1}, "colour"),
        ({"stop": {}}, "operations: is empty"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(change: dict[str, object], words: str) -> None:
    files = dict(load_prompts(style="evolve").files)
    with pytest.raises(ConfigError, match=words):
        prompts_from_files({**files, "evolve.yaml": yaml.safe_dump(change)})


def test_own_words_replace_the_shipped_ones(tmp_path: Path) -> None:
    words = {"change": "Make it rhyme.", "task": "Say hello.", "result": "Say hello in rhyme."}
    (tmp_path / "evolve.yaml").write_text(yaml.safe_dump({"operations": {"deepen": words}}))
    assert list(load_prompts(tmp_path, style="evolve").style.operations) == ["deepen"]
    with pytest.raises(ConfigError, match="no stage uses this file"):
        load_prompts(tmp_path)
