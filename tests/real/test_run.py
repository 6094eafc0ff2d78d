"""A run of the real engine, looked at from all sides, and checked by independent oracles."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest

from selfinstruct.common.records import ACCEPTED, LOOP_STAGES, Kind, Stage
from selfinstruct.engines.machine import installed_vllm
from selfinstruct.store import Run, open_run
from tests.real.conftest import ROOT, TARGET, Cli, generate_arguments

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]


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


def test_summary_adds_up_and_replay_finds_no_difference(whole: Run, cli: Cli) -> None:
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
    completions = [c for n in whole.rounds() for c in whole.completions(n) if c.token_ids]
    chosen = {
        stage: [c for c in completions if c.request.stage is stage][:4]
        for stage in (*LOOP_STAGES, Stage.SCORE)
    }
    for stage, few in chosen.items():
        # No question is asked where the words of every instruction tell its kind.
        assert few or stage is Stage.CLASSIFY, f"no completion of stage {stage}"
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
def labelled(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which every task that the model calls text is taken for classification."""
    folder = tmp_path_factory.mktemp("labelled")
    shipped = (ROOT / "selfinstruct" / "prompts" / "templates" / "prompts.yaml").read_text()
    own = shipped.replace('classification: "label"', 'classification: "text"')
    assert own != shipped
    (folder / "prompts").mkdir()
    (folder / "prompts" / "prompts.yaml").write_text(own)
    out = folder / "run"
    # From version 4 of the rules on, closed questions without an input have no label.
    more = ["--max-rounds", "1", "--set", "propose.per_round=24", "--set", "propose.sizes=equal"]
    cli(*generate_arguments(out, *more, "--prompts", str(folder / "prompts")))
    return open_run(out)


def test_scores_of_spans_agree_with_an_independent_oracle(
    whole: Run, labelled: Run, warm: Path
) -> None:
    spans: dict[str, float] = {}
    for run in (whole, labelled):
        done = subprocess.run(
            [warm, ROOT / "scripts" / "check_likelihood.py", run.path, "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        for kind, row in json.loads(done.stdout).items():
            assert row["largest"] < 1e-3, (kind, row)
            spans[kind] = spans.get(kind, 0) + row["spans"]
    assert spans.keys() >= {"instruction", "output", "label"}
    assert min(spans[kind] for kind in ("instruction", "output", "label")) >= 5


def test_the_likelihood_filter_on_a_real_run(whole: Run, cli: Cli) -> None:
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
