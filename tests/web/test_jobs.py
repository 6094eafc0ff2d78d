"""Jobs: they run beside the service, outlive it, can be stopped, and say why they died."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.whatif import Thresholds
from selfinstruct.web.errors import BusyError, NotFoundError
from selfinstruct.web.jobs import Job, Jobs, last_words
from selfinstruct.web.work import NewRun, known_models, resume_run, save_what_if, start_run
from tests.conftest import make_seed
from tests.engines import http_server
from tests.generate.test_served_run import answer
from tests.web.conftest import PROGRAM, wait_for

SEEDS = "\n".join(json.dumps(make_seed(number)) for number in range(12))


@pytest.fixture
def jobs(root: Path) -> Jobs:
    return Jobs(root, PROGRAM)


def small(name: str = "new", target: int = 6, **values: object) -> NewRun:
    defaults = {"model": "tiny", "target": target, "seeds": SEEDS, "per_round": 4}
    return NewRun(name=name, **(defaults | values))  # type: ignore[arg-type]


def ended(jobs: Jobs, job: Job) -> Job:
    wait_for(lambda: not jobs.get(job.id).going)
    return jobs.get(job.id)


def test_a_run_is_generated_and_grown(jobs: Jobs, root: Path) -> None:
    job = ended(jobs, start_run(jobs, root, small(domain="harbours: {job} & --set")))
    assert (job.state, job.exit_code, job.why) == ("done", 0, None)
    run = open_run(root / "new")
    assert run.status()["tasks"] == 6
    assert run.meta["config"]["propose"]["domain"] == "harbours: {job} & --set"
    assert run.meta["config"]["seeds"].endswith("seeds.jsonl")
    again = ended(jobs, resume_run(jobs, run, {"target": 9, "max_rounds": None}))
    assert again.state == "done"
    assert open_run(root / "new").status()["tasks"] == 9
    assert [one.id for one in jobs.all()] == [again.id, job.id]
    assert jobs.of_run("new") == again


def test_a_run_in_a_language(jobs: Jobs, root: Path) -> None:
    seeds = (Path(__file__).parents[1] / "data/seeds_de.jsonl").read_text(encoding="utf-8")
    wanted = small("deutsch", seeds=seeds, language="de")
    job = ended(jobs, start_run(jobs, root, wanted))
    assert (job.state, job.why) == ("done", None)
    config = open_run(root / "deutsch").meta["config"]
    assert (config["language"], config["rules"]["holds_answer"]) == ("de", False)
    with pytest.raises(ConfigError, match="language 'xx' is not known; there are: de, vi, zh"):
        start_run(jobs, root, small("other", language="xx"))
    assert not (root / "other").exists()


def test_a_job_is_stopped_and_its_run_can_go_on(
    jobs: Jobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPT_SECONDS", "0.02")
    job = start_run(jobs, root, small(target=500))
    wait_for((root / "new" / "rounds" / "00000").is_dir)
    with pytest.raises(BusyError, match="writes it"):
        resume_run(jobs, open_run(root / "new"), {})
    with pytest.raises(BusyError, match="holds a model"):
        start_run(jobs, root, small("other"))
    # The service is started again: it finds the job, and can stop it.
    later = Jobs(root, PROGRAM)
    assert later.get(job.id).state == "running"
    assert later.stop(job.id).state in {"stopping", "stopped"}
    stopped = ended(later, job)
    assert (stopped.state, stopped.exit_code, stopped.why) == ("stopped", 130, None)
    assert "--resume" in later.log(job.id)
    run = open_run(root / "new")
    assert run.status()["reason"] == "interrupted"
    monkeypatch.setenv("SCRIPT_SECONDS", "0")
    tasks = sum(run.info(number)["tasks"] for number in run.rounds())
    assert ended(later, resume_run(later, run, {"target": tasks + 1})).state == "done"


def test_a_job_that_fails_says_why(jobs: Jobs, root: Path) -> None:
    (root / "tiny" / "model.safetensors").unlink()
    job = ended(jobs, start_run(jobs, root, small()))
    assert (job.state, job.exit_code) == ("failed", 2)
    assert job.why is not None
    assert job.why.startswith("error: ")
    assert "has no weights" in job.why
    assert not (root / "new").exists()


def test_a_job_whose_process_is_killed_is_lost(
    jobs: Jobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPT_SECONDS", "0.02")
    job = start_run(jobs, root, small(target=500))
    wait_for((root / "new" / "rounds" / "00000").is_dir)
    command = open_run(root / "new").status()["pid"]
    said = json.loads((root / ".jobs" / job.id / "job.json").read_text())
    os.kill(said["pid"], signal.SIGKILL)
    os.kill(command, signal.SIGKILL)
    lost = ended(jobs, job)
    assert lost.state == "lost"
    assert lost.why is not None
    assert "was killed" in lost.why


def test_a_pid_that_another_process_has_now_is_not_taken_for_a_job(jobs: Jobs, root: Path) -> None:
    job = ended(jobs, start_run(jobs, root, small()))
    folder = root / ".jobs" / job.id
    (folder / "exit.json").unlink()
    said = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**said, "pid": os.getpid()}))
    assert jobs.get(job.id).state == "lost"


def test_a_what_if_is_saved_as_a_run(jobs: Jobs, root: Path, run: Run) -> None:
    job = ended(jobs, save_what_if(jobs, root, run, Thresholds(rouge=0.99), "looser"))
    assert (job.state, job.why) == ("done", None)
    assert open_run(root / "looser").meta["config"]["novelty"]["threshold"] == 0.99


def test_what_cannot_be_used_starts_nothing(jobs: Jobs, root: Path, run: Run) -> None:
    for wanted, message in (
        (small("first"), "is taken"),
        (small(quantile=2.0), "likelihood.quantile"),
        (small(seeds='{"id": "x"}'), r"seeds.jsonl:1"),
        (small(model="nothing"), "Qwen"),
    ):
        with pytest.raises(ConfigError, match=message):
            start_run(jobs, root, wanted)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        save_what_if(jobs, root, run, Thresholds(rouge=2.0), "looser")
    assert jobs.all() == []


def test_the_last_words_of_a_log() -> None:
    assert last_words("loading\nerror: no room; free some\nand again") == (
        "error: no room; free some\nand again"
    )
    assert last_words("\n".join(map(str, range(20)))).splitlines() == [str(n) for n in range(8, 20)]
    assert last_words("") == ""


@pytest.mark.parametrize("id", ["", "..", "../x", "20260102-030405-abcdef", "a" * 300])
def test_no_such_job(jobs: Jobs, id: str) -> None:
    with pytest.raises(NotFoundError):
        jobs.get(id)
    with pytest.raises(NotFoundError):
        jobs.log(id)


def test_a_served_model_of_the_service_writes_a_run(root: Path) -> None:
    jobs = Jobs(root, (sys.executable, "-m", "selfinstruct"))
    wanted = {"target": 4, "prompting": "base", "min_logprob": -99.0, "quantile": 0.01}
    with http_server.serving(answer) as server:
        job = start_run(jobs, root, small(model=server.url, **wanted), [server.url])
        assert ended(jobs, job).why is None
        grown = resume_run(jobs, open_run(root / "new"), {"target": 6})
        assert ended(jobs, grown).why is None
    run = open_run(root / "new")
    assert (run.meta["model"]["name"], run.status()["tasks"]) == ("toy", 6)


def test_models_that_can_be_named(root: Path, run: Run) -> None:
    assert known_models(root, ["http://here/v1"])[0] == "http://here/v1"
    assert "bundled" in known_models(root)
    assert known_models(root)[-1] == "tiny"
