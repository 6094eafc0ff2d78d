"""Files of principles: the shipped one, what is refused and where, and what is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.prompts.principles import Principle, Principles, principles_from, read_principles

GOOD = "- name: kind\n  principle: Be kind.\n  critique: Is it rude?\n  revision: Be kinder.\n"


def test_the_shipped_principles() -> None:
    shipped = read_principles()
    assert 12 <= len(shipped) <= 16
    assert len({one.name for one in shipped}) == len(shipped)
    for one in shipped:
        assert one.principle.endswith(".")
        assert one.critique.startswith(("Say", "Name"))
        assert one.revision.startswith("Rewrite the answer")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"# Mine.\n{GOOD}- {{name: short, principle: Be\n    short., critique: c, revision: r}}\n"
    )
    assert read_principles(path) == (
        Principle("kind", "Be kind.", "Is it rude?", "Be kinder."),
        Principle("short", "Be short.", "c", "r"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": is empty; write a list of entries - name: …"),
        ("[]", ":1: is an empty list"),
        ("name: kind\n", ":1: is no list; write entries - name"),
        ("- kind\n", ':1: is no entry ("kind"); write - name'),
        (f"{GOOD}{GOOD}", ':5: name "kind" is there twice; change one'),
        (f"{GOOD}- name: short\n", ':5: "principle" is missing; add it'),
        (
            GOOD.replace("critique", "critque"),
            ":3: unknown key \"critque\"; did you mean 'critique'?",
        ),
        (GOOD.replace("Is it rude?", ""), ':3: "critique" is empty; give a text'),
        (GOOD.replace("Is it rude?", "null"), ':3: "critique" is empty; give a text'),
        (GOOD.replace("Is it rude?", "[a, b]"), ':3: "critique" is no text'),
        (f"{GOOD}  name: again\n", ':5: "name" is there twice; leave one out'),
        (f"{GOOD}  ? [a]\n  : b\n", ":5: has no name as a key"),
        ("- name: 'open\n", ":2: is not YAML"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_principles(path)
    assert f"{path}{told}" in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; check --principles"):
        read_principles(tmp_path / "none.yaml")


def test_draws_depend_on_the_seed_and_the_id_alone() -> None:
    every = read_principles()
    first, second = Principles(every, 0), Principles(every, 1)
    ids = [f"r00000-p000-i{number:02d}-n0" for number in range(64)]
    assert [first.drawn(id) for id in ids] == [Principles(every, 0).drawn(id) for id in ids]
    assert [first.drawn(id) for id in ids] != [second.drawn(id) for id in ids]
    counts = Counter(first.drawn(id).name for id in ids)
    assert len(counts) > len(every) / 2
    # Each principle comes up once in the order of an output.
    order = first.in_order(ids[0])
    assert sorted(order, key=str) == sorted(every, key=str)
    assert order != first.in_order(ids[1])
    assert principles_from(first.recorded) == every
    assert first.digest == second.digest != Principles(every[1:], 0).digest
