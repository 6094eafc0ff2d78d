"""One writer for a run, and nothing left of a run that did not come to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run, run_exists, run_lock
from selfinstruct.store.layout import LOCK_FILE

Generate = Callable[..., tuple[Run, str]]

HOLD = """
import sys, time
from pathlib import Path
from selfinstruct.store import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_is_gone(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run")
    with hold(run.path) as first:
        with pytest.raises(ConfigError, match="another process is writing"), run_lock(run.path):
            pass
        first.kill()  # SIGKILL: the lock must not outlive its process
    with run_lock(run.path):
        assert run_exists(run.path)


def test_a_second_process_is_refused_while_the_first_loads_its_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with hold(out) as first:
        with pytest.raises(ConfigError, match="another process is writing"), run_lock(out):
            pass
        assert (out / LOCK_FILE).exists(), "the loser took the winner's lock file away"
        first.kill()


def test_a_run_killed_before_it_came_to_be_can_be_started_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with hold(out) as first:
        (out / "inputs" / "prompts").mkdir(parents=True)
        (out / "inputs" / "seeds.jsonl").write_text("half a file")
        (out / "rounds").mkdir()
        (out / ".run.yaml.tmp").write_text("half")
        first.kill()
    with run_lock(out):
        assert [path.name for path in out.iterdir()] == [LOCK_FILE]


def test_a_run_that_does_not_come_to_be_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with pytest.raises(KeyError), run_lock(out):
        {}["a failure before run.yaml is written"]
    assert not (tmp_path / "a").exists()


def test_a_run_that_does_not_come_to_be_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    out = tmp_path / "outputs" / "second"
    with run_lock(out):  # and no run.yaml is written
        (tmp_path / "outputs" / "first").mkdir()
        (tmp_path / "outputs" / "first" / "run.yaml").write_text("a run of another process")
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["first"]
    assert (tmp_path / "outputs" / "first" / "run.yaml").exists()


def test_an_empty_folder_of_the_user_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyError), run_lock(tmp_path):
        {}["a failure before run.yaml is written"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["thesis.txt", "inputs/thesis.txt", "rounds/00000/round.json"])
def test_a_folder_with_other_files_is_not_taken_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"), run_lock(tmp_path):
        pass
    assert (tmp_path / name).read_text() == "years of work"
    assert not (tmp_path / LOCK_FILE).exists()


def test_rounds_without_their_run_yaml_are_not_taken_for_a_beginning(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run")
    (run.path / "run.yaml").unlink()
    with pytest.raises(ConfigError, match="holds other files"), run_lock(run.path):
        pass
    assert run.rounds()
