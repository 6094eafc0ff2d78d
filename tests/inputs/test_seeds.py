"""Reading seed tasks: what is accepted, and that every error names file, line and field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError, SeedError
from selfinstruct.common.records import Instance, SeedTask
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds

GOOD: dict[str, Any] = {
    "id": "bird",
    "name": "a_bird",
    "instruction": "Name a bird.",
    "instances": [{"input": "", "output": "Wren"}],
    "is_classification": False,
}


def seed_line(**changes: Any) -> str:
    """A good seed with other values; `...` leaves a field out."""
    seed = {key: value for key, value in (GOOD | changes).items() if value is not ...}
    return json.dumps(seed, ensure_ascii=False)


def parse(*lines: str) -> list[SeedTask]:
    return parse_seeds("\n".join(lines).encode(), "seeds.jsonl")


def test_a_seed_has_every_field() -> None:
    assert parse(seed_line()) == [
        SeedTask("bird", "a_bird", "Name a bird.", (Instance("", "Wren"),), False)
    ]


def test_seeds_keep_the_order_of_the_file_and_blank_lines_are_skipped() -> None:
    seeds = parse("", seed_line(id="b"), "   ", seed_line(id="a"), "")
    assert [seed.id for seed in seeds] == ["b", "a"]
    assert [seed.pool_id for seed in seeds] == ["seed:b", "seed:a"]


def test_an_id_may_be_an_integer() -> None:
    assert [seed.id for seed in parse(seed_line(id=7), seed_line(id=0))] == ["7", "0"]


def test_name_and_is_classification_may_be_left_out() -> None:
    [seed] = parse(seed_line(name=..., is_classification=...))
    assert (seed.name, seed.is_classification) == ("bird", None)
    [seed] = parse(seed_line(name=None, is_classification=None))
    assert (seed.name, seed.is_classification) == ("bird", None)


def test_an_input_may_be_left_out() -> None:
    [seed] = parse(seed_line(instances=[{"output": "Wren"}]))
    assert seed.instances == (Instance("", "Wren"),)


def test_an_instruction_alone_has_no_instances() -> None:
    assert [seed.instances for seed in parse(seed_line(instances=...))] == [()]


def test_texts_are_stripped_and_unknown_fields_ignored() -> None:
    [seed] = parse(
        seed_line(
            id=" bird ",
            instruction="\nName a bird. ",
            instances=[{"input": " a ", "output": " b\nc ", "source": "me"}],
            author="me",
        )
    )
    assert (seed.id, seed.instruction) == ("bird", "Name a bird.")
    assert seed.instances == (Instance("a", "b\nc"),)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted() -> None:
    content = f"{seed_line(id='a')}\r\n{seed_line(id='b')}\r\n".encode("utf-8-sig")
    assert [seed.id for seed in parse_seeds(content, "seeds.jsonl")] == ["a", "b"]


@pytest.mark.parametrize(
    "character",
    [
        *("é", "🙂", "\u00a0"),
        *(
            pytest.param(
                character,
            )
            for character in ("\u2028", "\u2029", "\u0085")
        ),
    ],
    ids=ascii,
)
def test_a_text_may_hold_any_character_that_json_allows(character: str) -> None:
    [seed] = parse(seed_line(instruction=f"Name{character}a bird."))
    assert seed.instruction == f"Name{character}a bird."


@pytest.mark.parametrize(
    ("line", "field", "what"),
    [
        (seed_line(id=...), "id", "missing"),
        (seed_line(id=None), "id", "missing"),
        (seed_line(id=""), "id", "empty"),
        (seed_line(id=1.5), "id", "1.5"),
        (seed_line(id=True), "id", "true"),
        (seed_line(name=3), "name", "3"),
        (seed_line(name=" "), "name", "empty"),
        (seed_line(instruction=...), "instruction", "missing"),
        (seed_line(instruction=""), "instruction", "empty"),
        (seed_line(instruction=["x"]), "instruction", '["x"]'),
        (seed_line(is_classification="yes"), "is_classification", '"yes"'),
        (seed_line(is_classification=1), "is_classification", "1"),
        (seed_line(instances=[]), "instances", "empty"),
        (seed_line(instances={}), "instances", "not a list"),
        (seed_line(instances="x"), "instances", "not a list"),
        (seed_line(instances=["x"]), "instances[0]", "must be an object"),
        (seed_line(instances=[{}]), "instances[0]", "must be an object"),
        (seed_line(instances=[{"input": "x"}]), "instances[0].output", "missing"),
        (seed_line(instances=[{"output": " "}]), "instances[0].output", "empty"),
        (seed_line(instances=[{"output": 4}]), "instances[0].output", "4"),
        (seed_line(instances=[{"input": None, "output": "x"}]), "instances[0].input", "null"),
        (
            seed_line(instances=[{"output": "x"}, {"input": 4, "output": "x"}]),
            *("instances[1].input", "4"),
        ),
    ],
)
def test_a_bad_field_is_named_with_file_and_line(line: str, field: str, what: str) -> None:
    with pytest.raises(SeedError, match=rf'^seeds\.jsonl:3: "{re.escape(field)}"') as caught:
        parse(seed_line(id="other"), "", line)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("Name a bird.", "is not JSON"),
        ('{"id": 1', "is not JSON"),
        ("[1, 2]", r"is \[1, 2\], no object"),
        ("null", "is null, no object"),
        (seed_line() + seed_line(), "is not JSON"),
        *(
            pytest.param(
                line,
                "",
                id=error.__name__,
            )
            for line, error in [
                ('{"id": %s}' % ("1" * 5000), ValueError),
                ("[" * 100_000, RecursionError),
            ]
        ),
    ],
)
def test_a_line_that_is_no_object_is_named(line: str, what: str) -> None:
    with pytest.raises(SeedError, match=rf"^seeds\.jsonl:2: {what}"):
        parse(seed_line(), line)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(SeedError, match=r'^seeds\.jsonl:1: "instruction"'):
        parse(seed_line(instruction="Name a X.").replace("X", "\\ud800"))


@pytest.mark.parametrize(("first", "second"), [("bird", "bird"), (1, "1"), ("bird", " bird")])
def test_an_id_that_is_used_twice_names_both_lines(first: Any, second: Any) -> None:
    with pytest.raises(SeedError, match=r'^seeds\.jsonl:3: "id" .* line 1'):
        parse(seed_line(id=first), seed_line(id="other"), seed_line(id=second))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_seeds_is_refused(content: bytes) -> None:
    with pytest.raises(SeedError, match=r"^seeds\.jsonl: holds no seed task"):
        parse_seeds(content, "seeds.jsonl")


def test_a_file_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(SeedError, match=r"^seeds\.jsonl: is not UTF-8 text \(byte 2\)"):
        parse_seeds(b"ab\xff", "seeds.jsonl")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="no such file; check --seeds"):
        read_seed_bytes(tmp_path / "none.jsonl")
    with pytest.raises(SeedError, match="cannot be read"):
        read_seed_bytes(tmp_path)


def test_a_seed_error_is_wrong_input() -> None:
    assert issubclass(SeedError, ConfigError)
    assert SeedError.exit_code == 2


def test_the_shipped_seeds_can_be_read() -> None:
    path = shipped_seeds()
    seeds = parse_seeds(read_seed_bytes(path), path)
    assert len({seed.instruction for seed in seeds}) == len(seeds) > 8
    assert {seed.is_classification for seed in seeds} == {True, False}
