"""The whole of it on the real engine and the bundled model, through the command line.

float32 repeats exactly on a CPU, whatever is batched with what: only so can a killed and
resumed run be compared with an uninterrupted one byte by byte.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfinstruct.common.records import ACCEPTED, LOOP_STAGES, Kind, Stage
from selfinstruct.engines.machine import installed_vllm
from selfinstruct.store import Run, open_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]

CLI = [sys.executable, "-c", "from selfinstruct.cli import main; main()"]
SMALL = ["--seed", "0", "--dtype", "float32", "--set", "propose.per_round=4"]
SMALL += ["--set", "likelihood.calibration=8", "--set", "likelihood.gain=true"]
ROOT = Path(__file__).resolve().parent.parent
TARGET = 14


def cli(*arguments: str, expect: int = 0) -> str:
    done = subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


def generate_arguments(out: Path, *more: str) -> list[str]:
    return ["generate", "--out", str(out), "--target", str(TARGET), *SMALL, *more]


def exported(run: Path, folder: Path) -> bytes:
    out = folder / "export.jsonl"
    cli("export", str(run), "--format", "messages", "--out", str(out))
    return out.read_bytes()


def kill_once(out: Path, *, after_commits: int, arguments: list[str]) -> None:
    """Start a run and kill it once so many of its rounds are on disk and it works on."""
    with subprocess.Popen([*CLI, *arguments], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            done = list(out.glob("rounds/0*"))
            if (out / "run.yaml").exists() and len(done) >= after_commits:
                time.sleep(2)
                break
            time.sleep(0.2)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("real") / "whole"
    cli(*generate_arguments(out))
    return open_run(out)


def test_exactly_the_target_each_with_an_output(whole: Run) -> None:
    rows = [row for n in whole.rounds() for row in whole.instructions(n)]
    tasks = [row for row in rows if row.verdict == ACCEPTED]
    assert len(tasks) == TARGET
    with_output = {
        row.instruction_id
        for n in whole.rounds()
        for row in whole.instances(n)
        if row.verdict == ACCEPTED and row.output.strip()
    }
    assert {task.id for task in tasks} <= with_output
    assert all(row.reason is not None for row in rows if row.verdict != ACCEPTED)


def test_summary_adds_up_and_replay_finds_no_difference(whole: Run) -> None:
    summary = json.loads(cli("audit", "summary", str(whole.path), "--json"))
    assert summary["tasks"] == TARGET
    assert sum(summary["instructions"].values()) == summary["candidates"]
    assert "0 differences" in cli("audit", "replay", str(whole.path))


def test_scores_agree_with_a_forward_pass(whole: Run) -> None:
    """Independent oracle: transformers over the recorded token ids, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from selfinstruct.models import CATALOGUE, prepared_path

    folder = prepared_path(CATALOGUE["bundled"])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    completions = [c for c in whole.completions(0) if c.token_ids]
    chosen = {
        stage: [c for c in completions if c.request.stage is stage][:4]
        for stage in (*LOOP_STAGES, Stage.SCORE)
    }
    for stage, few in chosen.items():
        assert few, f"no completion of stage {stage}"
        for completion in few:
            prompt = tokenizer.encode(completion.prompt, add_special_tokens=False)
            assert len(prompt) == completion.num_prompt_tokens
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            with torch.no_grad():
                logprobs = model(ids).logits[0].log_softmax(-1)
            expected = [
                float(logprobs[len(prompt) + i - 1, token])
                for i, token in enumerate(completion.token_ids)
            ]
            assert completion.token_logprobs == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which every task that the model calls text is taken for classification."""
    folder = tmp_path_factory.mktemp("labelled")
    shipped = (ROOT / "selfinstruct" / "prompts" / "templates" / "prompts.yaml").read_text()
    own = shipped.replace('classification: "label"', 'classification: "text"')
    assert own != shipped
    (folder / "prompts").mkdir()
    (folder / "prompts" / "prompts.yaml").write_text(own)
    out = folder / "run"
    more = ["--max-rounds", "1", "--set", "propose.per_round=12"]
    cli(*generate_arguments(out, *more, "--prompts", str(folder / "prompts")))
    return open_run(out)


def test_scores_of_spans_agree_with_an_independent_oracle(whole: Run, labelled: Run) -> None:
    spans: dict[str, float] = {}
    for run in (whole, labelled):
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "check_likelihood.py", run.path, "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        for kind, row in json.loads(done.stdout).items():
            assert row["largest"] < 1e-3, (kind, row)
            spans[kind] = spans.get(kind, 0) + row["spans"]
    assert spans.keys() >= {"instruction", "output", "label"}
    assert min(spans[kind] for kind in ("instruction", "output", "label")) >= 5


def test_the_likelihood_filter_on_a_real_run(whole: Run) -> None:
    assert len(whole.calibration()) > 48
    last = whole.info(whole.rounds()[-1])["likelihood"]
    assert -4 < last["instruction"] < -1
    seeds = [s.mean_logprob for s in whole.calibration() if s.kind is Kind.INSTRUCTION]
    own = [c.mean_logprob for n in whole.rounds() for c in whole.instructions(n)]
    assert sorted(seeds)[len(seeds) // 2] < last["instruction"] < sorted(own)[len(own) // 2]
    gains = [row.conditional_gain for n in whole.rounds() for row in whole.instances(n)]
    known = [gain for gain in gains if gain is not None and not math.isnan(gain)]
    # An answer is likelier for its own task than for none.
    assert len(known) >= 5
    assert sum(gain > 0 for gain in known) > 0.8 * len(known)
    found = json.loads(cli("audit", "whatif", str(whole.path), "--json"))
    assert found["changed"] == found["instances"]["changed"] == 0


def test_a_trained_model_loads_stops_and_writes_the_next_run(whole: Run, tmp_path: Path) -> None:
    """In transformers, in vLLM, and as the model of `generate`; a judge looks at its answers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tuned, compared = tmp_path / "tuned", tmp_path / "compared"
    cli(
        *("train", "sft", "--data", str(whole.path), "--model", "bundled", "--out", str(tuned)),
        *("--epochs", "1", "--validation", "0"),
    )
    tokenizer = AutoTokenizer.from_pretrained(tuned)
    network = AutoModelForCausalLM.from_pretrained(tuned)
    messages = [{"role": "user", "content": "Name a colour."}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = network.generate(**prompt, max_new_tokens=120, do_sample=False)[0].tolist()
    assert tokenizer.eos_token_id in written[prompt["input_ids"].shape[1] :]
    lines = ROOT.joinpath("seeds", "eval_tasks.jsonl").read_text().splitlines()[:12]
    tasks, text = tmp_path / "tasks.jsonl", tmp_path / "text.txt"
    tasks.write_text("\n".join(lines))
    text.write_text("The sky was blue, and so was her coat. He asked, and she said blue.")
    cli(
        *("evaluate", "--model", "before=bundled", "--model", f"after={tuned}"),
        *("--tasks", str(tasks), "--plain-text", str(text), "--judge", "bundled"),
        *("--max-tokens", "64", "--out", str(compared)),
    )
    report = json.loads((compared / "report.json").read_text())
    assert report["wins"][0]["n"] == 12
    assert 0 <= report["wins"][0]["rate"] <= 1
    assert 1 < report["models"]["after"]["perplexity"] < 10_000
    grown = tmp_path / "next"
    cli("generate", "--model", str(tuned), "--target", "2", "--out", str(grown))
    made = open_run(grown)
    rows = [row for n in made.rounds() for row in made.instructions(n)]
    assert sum(row.verdict == ACCEPTED for row in rows) == 2


def test_recorded_spans_cover_the_text(whole: Run) -> None:
    for completion in whole.completions(0):  # scored ones too
        covered = {
            position
            for start, end in zip(completion.token_starts, completion.token_ends, strict=True)
            for position in range(start, end)
        }
        assert set(range(len(completion.text))) <= covered
    for row in whole.instructions(0):
        assert math.isnan(row.mean_logprob) == (row.unscored_reason is not None)


def test_killed_twice_and_resumed_exports_the_same_bytes(whole: Run, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    arguments = generate_arguments(out, "--resume")
    kill_once(out, after_commits=0, arguments=arguments)
    kill_once(out, after_commits=1, arguments=arguments)
    assert open_run(out).rounds(), "the second kill was to come after a commit"
    cli(*arguments)
    assert exported(out, tmp_path) == exported(whole.path, tmp_path)
    # The same run grows when the target is raised, and keeps what it has.
    cli("generate", "--out", str(out), "--resume", "--target", str(TARGET + 4))
    assert json.loads(cli("audit", "summary", str(out), "--json"))["tasks"] == TARGET + 4
    assert exported(out, tmp_path).startswith(exported(whole.path, tmp_path))


def test_terminated_politely_says_how_to_resume(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [*CLI, *generate_arguments(out)], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "run.yaml").exists():
            assert process.poll() is None
            time.sleep(0.2)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        message = process.stderr.read()
    assert process.returncode == 130
    assert "--resume" in message
    assert "Traceback" not in message
    status = open_run(out).status()
    assert (status["state"], status["reason"]) == ("stopped", "interrupted")


def test_interrupted_while_the_model_loads(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with subprocess.Popen(
        [*CLI, *generate_arguments(out)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "loading bundled" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(4)  # well within vLLM's own imports
        # As Ctrl-C, but for a shell that starts its background jobs with SIGINT ignored.
        process.send_signal(signal.SIGTERM)
        message = process.stderr.read()
    assert process.returncode == 130, message
    assert "--resume" in message
    assert "Traceback" not in message
    assert not (tmp_path / "deep").exists()


def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    """As a user types them, one after the other, in a folder of its own."""
    from tests.test_docs import runnable_blocks

    script = "\n".join(runnable_blocks()).replace("source .venv/bin/activate", "")
    assert script.count("selfinstruct generate") == 3
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(cli("audit", "summary", str(tmp_path / "outputs" / "first"), "--json"))
    assert summary["tasks"] == 40
    answers = (tmp_path / "outputs" / "first" / "answered.jsonl").read_text().splitlines()
    assert len(answers) >= 40
    assert "# first" in (tmp_path / "outputs" / "first" / "README.md").read_text()


def test_the_whole_chain_on_a_small_target(tmp_path: Path) -> None:
    """From nothing to base, SFT and DPO side by side; the same command again does nothing."""
    out = tmp_path / "chain"
    tasks = tmp_path / "tasks.jsonl"
    task = {"instruction": "Name the capital of France.", "instances": [{"output": "Paris"}]}
    tasks.write_text(json.dumps(task))
    arguments = ["align", "--out", str(out), "--target", "24", "--judge", "none"]
    for stage in (
        "generate=--set propose.per_round=8",
        "sft=--epochs 1",
        "prefer=--k 3 --max-tokens 160 --held-out 6 --pairs-per-task 3",
        "dpo=--epochs 1 --fresh 4 --fresh-tokens 24",
        f"evaluate=--tasks {tasks} --max-tokens 24 --plain-text none",
    ):
        arguments += ["--stage", stage]
    cli(*arguments)
    report = json.loads((out / "report.json").read_text())
    assert list(report["evaluation"]["models"]) == ["base", "sft", "dpo"]
    assert report["dpo"]["health"]["pairs"] == report["preferences"]["pairs"]["held_out"] >= 6
    # Before its first step a policy is its reference.
    history = json.loads((out / "dpo" / "training.json").read_text())["history"]
    assert (history[0]["margin"], history[0]["divergence"]) == (0.0, 0.0)
    assert history[-1]["divergence"] > 0
    assert "few_held_out" in (out / "report.html").read_text()
    before = (out / "stages.json").read_bytes()
    cli(*arguments)
    assert (out / "stages.json").read_bytes() == before


def test_an_option_that_vllm_does_not_know_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    message = cli(*generate_arguments(out, "--set", "engine.options.warp=9"), expect=2)
    assert "warp" in message
    assert "Traceback" not in message
    assert not (tmp_path / "deep").exists()
