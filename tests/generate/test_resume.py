"""Killed, damaged, grown: a run that goes on is the run that it would have been."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError, EngineError, StoreError, WriteError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.store import Run, open_run
from selfinstruct.store.layout import HEADS
from tests.generate.test_loop import contents, dataset

Generate = Callable[..., tuple[Run, str]]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deaths=st.lists(st.integers(1, 90), max_size=4), shuffle=st.integers(0, 3))
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, generate: Generate, deaths: list[int], shuffle: int
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        generate(whole, stop__target=20)
    out = tmp_path / "killed"
    shutil.rmtree(out, ignore_errors=True)
    for death in deaths:
        try:
            generate(
                out,
                resume=out.exists(),
                stop__target=20,
                engine={"die_after": death, "shuffle": shuffle},
            )
        except EngineError:
            assert open_run(out).status()["state"] == "failed"
    resumed, reason = generate(out, resume=out.exists(), stop__target=20)
    assert reason == "target"
    assert contents(resumed) == contents(open_run(whole))
    assert dataset(resumed) == dataset(open_run(whole))


def test_a_round_torn_while_it_was_written_is_generated_again(
    tmp_path: Path, generate: Generate
) -> None:
    whole, _ = generate(tmp_path / "whole", stop__target=20)
    out = tmp_path / "torn"
    shutil.copytree(whole.path, out)
    last = open_run(out).rounds()[-1]
    torn = out / "rounds" / f".{last:05d}.tmp"
    (out / "rounds" / f"{last:05d}").rename(torn)
    (out / HEADS).unlink()
    (torn / "instances.parquet").write_bytes(b"PAR1")
    resumed, _ = generate(out, resume=True)
    assert not torn.exists()
    assert contents(resumed) == contents(whole)


def test_surplus_is_no_sign_that_the_yield_runs_dry(tmp_path: Path, generate: Generate) -> None:
    # Each of these rounds was cut short by its target: a task or two of twenty candidates.
    out = tmp_path / "run"
    for target in (1, 2, 3, 4):
        _, reason = generate(
            out, resume=out.exists(), stop__target=target, stop__min_yield=0.3, stop__yield_rounds=3
        )
        assert reason == "target"
    assert any(
        row.reason == "over_target"
        for number in open_run(out).rounds()
        for row in open_run(out).instructions(number)
    )


def test_the_machines_own_choice_is_no_change_on_resume(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    choice = {"model__dtype": "auto", "engine__context_length": None}
    generate(out, stop__target=5, **choice)
    run, reason = generate(out, resume=True, stop__target=9, **choice)
    assert reason == "target"
    assert run.meta["config"]["engine"]["context_length"] == 2048


def test_a_disk_that_is_full_ends_a_run_that_can_be_resumed(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = generate(tmp_path / "whole", stop__target=20)
    out = tmp_path / "run"
    commits = 0
    original = atomic.commit_folder

    def full(work: Path, target: Path) -> None:
        nonlocal commits
        commits += 1
        if commits == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(work, target)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "commit_folder", full)
        with pytest.raises(WriteError, match="No space left on device"):
            generate(out, stop__target=20)
    assert open_run(out).status()["state"] == "failed"
    assert open_run(out).rounds() == [0]
    resumed, _ = generate(out, resume=True, stop__target=20)
    assert contents(resumed) == contents(whole)


def test_raising_the_target_grows_a_run(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    generate(out, stop__target=5)
    before = contents(open_run(out))
    run, reason = generate(out, resume=True, stop__target=15)
    assert reason == "target"
    assert contents(run)[: len(before)] == before
    accepted = [r for n in run.rounds() for r in run.instructions(n) if r.verdict == ACCEPTED]
    assert len(accepted) == 15
    # The new target is stored: a further resume has nothing to do.
    _, reason = generate(out, lambda request: pytest.fail("asked again"), resume=True)
    assert reason == "target"


def test_an_existing_run_is_not_touched_without_resume(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    generate(out)
    before = contents(open_run(out))
    with pytest.raises(ConfigError, match="--resume"):
        generate(out)
    assert contents(open_run(out)) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("novelty__threshold", 0.5),
        ("seed", 7),
        ("model__prompting", "chat"),
        ("propose__per_round", 5),
    ],
)
def test_a_semantic_change_is_refused_on_resume_by_name(
    tmp_path: Path, generate: Generate, key: str, value: Any
) -> None:
    out = tmp_path / "run"
    generate(out)
    with pytest.raises(ConfigError, match=key.replace("__", r"\.")):
        generate(out, resume=True, stop__target=50, **{key: value})


def test_other_seeds_are_refused_on_resume(tmp_path: Path, generate: Generate) -> None:
    from tests.conftest import make_seed, write_seeds

    out = tmp_path / "run"
    generate(out)
    other = write_seeds(tmp_path / "other.jsonl", [make_seed(i) for i in range(9)])
    with pytest.raises(ConfigError, match="seeds_sha256"):
        generate(out, resume=True, stop__target=50, seeds=str(other))


def test_another_model_is_refused_on_resume(
    tmp_path: Path, generate: Generate, model_folder: Path
) -> None:
    out = tmp_path / "run"
    generate(out)
    (model_folder / "config.json").write_text('{"max_position_embeddings": 512}')
    with pytest.raises(ConfigError, match="not the one that this run was made with"):
        generate(out, resume=True, stop__target=50)


def test_throughput_settings_are_free_on_resume(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    generate(out, stop__target=5)
    _, reason = generate(out, resume=True, stop__target=8, overlap=False, engine__max_num_seqs=2)
    assert reason == "target"


def test_a_damaged_round_is_named_and_nothing_is_written(
    tmp_path: Path, generate: Generate
) -> None:
    out = tmp_path / "run"
    generate(out)
    file = out / "rounds" / "00000" / "instances.parquet"
    file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
    with pytest.raises(StoreError, match=r"00000/instances\.parquet"):
        generate(out, resume=True, stop__target=50)
