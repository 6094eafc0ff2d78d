"""Journals of open rounds: what is read back is what was written, and only for the same request."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import Completion, Conversation, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.store.open_rounds import OpenJournal, drop_committed, open_numbers, read_open

ASKED = Request(
    id="r00003-p001-propose",
    about="r00003-p001",
    stage=Stage.PROPOSE,
    reading=Reading(Form.LIST, first_number=9, continues=True),
    prompt="1. Say hello.\n2.",
    sampling=SamplingConfig(max_tokens=40),
    seed=7,
    template="propose.base.jinja",
    parents=("seed:a", "seed:b"),
)
WRITTEN = Completion(
    request=ASKED,
    text=" Say good-bye.",
    token_ids=(5, 6),
    token_logprobs=(-0.1, -1 / 3),
    token_starts=(0, 4),
    token_ends=(4, 14),
    finish_reason="stop",
    num_prompt_tokens=9,
    prompt="<s>1. Say hello.\n2.",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "rounds").mkdir()
    return tmp_path


def written(run: Path, *completions: Completion) -> Path:
    journal = OpenJournal(run, 3, 12)
    for completion in completions:
        journal.add([completion])
    journal.close()
    return run / "rounds" / ".00003.open"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "r00003-p002-propose"},
        {"prompt": "1. Say hello."},
        {"prompt": Conversation(({"role": "user", "content": "Say hello."},))},
        {"sampling": SamplingConfig(max_tokens=41)},
        {"seed": 8},
        {"parents": ("seed:b", "seed:a")},
        {"reading": Reading(Form.LIST, first_number=8, continues=True)},
        {"scored": (5, 6)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_completion_counts_for_the_same_request_alone(
    run: Path, change: dict[str, object]
) -> None:
    kept = read_open(written(run, WRITTEN))
    assert kept.completion_of(ASKED) == WRITTEN
    assert kept.completion_of(replace(ASKED, **change)) is None  # type: ignore[arg-type]


texts = st.text() | st.text(st.characters(codec=None))
floats = st.floats(allow_nan=False)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts,
    st.none() | texts,
    st.none() | texts,
    st.lists(st.tuples(st.integers(0, 2**31 - 1), floats, st.integers(0, 9)), max_size=5),
    st.booleans(),
)
def test_all_of_a_completion_comes_back(
    run: Path,
    text: str,
    thinking: str | None,
    prompt: str | None,
    tokens: list[tuple[int, float, int]],
    scored: bool,
) -> None:
    completion = replace(
        WRITTEN,
        text=text,
        thinking=thinking,
        prompt=prompt,
        token_ids=tuple(id for id, _, _ in tokens),
        token_logprobs=tuple(logprob for _, logprob, _ in tokens) if scored else None,
        token_starts=tuple(start for _, _, start in tokens),
        token_ends=tuple(start + 1 for _, _, start in tokens),
        counted_tokens=len(tokens),
    )
    path = written(run, completion)
    assert read_open(path).completion_of(ASKED) == completion
    path.unlink()


def test_a_logprob_that_is_no_number_comes_back(run: Path) -> None:
    odd = replace(WRITTEN, token_logprobs=(math.nan, -math.inf))
    kept = read_open(written(run, odd)).completion_of(ASKED)
    assert kept is not None
    assert kept.token_logprobs is not None
    assert math.isnan(kept.token_logprobs[0])
    assert kept.token_logprobs[1] == -math.inf


def test_failures_are_not_kept(run: Path) -> None:
    assert read_open(written(run, replace(WRITTEN, error="busy"))).rows == {}


def test_cut_anywhere_it_holds_the_lines_that_are_whole(run: Path) -> None:
    second = replace(WRITTEN, request=replace(ASKED, id="r00003-p002-propose"))
    path = written(run, WRITTEN, second)
    content = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(content) if byte == ord("\n")]
    for size in range(len(content)):
        path.write_bytes(content[:size])
        kept = read_open(path)
        assert kept.damaged == []
        assert (kept.proposals is not None) + len(kept.rows) == sum(end <= size for end in ends)
        third = OpenJournal(run, 3, 99)
        assert third.proposals == (12 if ends[0] <= size else 99)
        third.add([second])
        third.close()
        again = read_open(path)
        assert again.damaged == []
        assert again.torn == 0
        assert second.id in again.rows


def test_a_changed_byte_costs_its_line_alone(run: Path) -> None:
    second = replace(WRITTEN, request=replace(ASKED, id="r00003-p002-propose"))
    path = written(run, WRITTEN, second)
    content = path.read_bytes()
    start = content.index(b"\n") + 1
    for place in range(start, content.index(b"\n", start)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        kept = read_open(path)
        assert kept.completion_of(second.request) == second
        assert kept.completion_of(ASKED) is None
        assert kept.damaged


def test_journals_of_committed_rounds_go(run: Path) -> None:
    for number in (0, 1, 2, 123456):
        OpenJournal(run, number, 4).close()
    (run / "rounds" / ".00000.tmp").mkdir()
    assert open_numbers(run) == [0, 1, 2, 123456]
    drop_committed(run, 2)
    assert open_numbers(run) == [2, 123456]


def test_one_that_cannot_be_read_is_named(run: Path) -> None:
    (run / "rounds" / ".00003.open").mkdir()
    with pytest.raises(StoreError, match=r"\.00003\.open: cannot be read"):
        read_open(run / "rounds" / ".00003.open")
