"""The likelihood filter in the loop: calibration, verdicts, resume, engines that cannot."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.common.errors import EngineError, StoreError
from selfinstruct.common.progress import Calibrated, Event
from selfinstruct.common.records import (
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Request,
    Stage,
)
from selfinstruct.dataset.rows import export_rows
from selfinstruct.engines.base import Capabilities
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.filters.likelihood import quantile
from selfinstruct.filters.rules import passed_text_rules
from selfinstruct.store import Run, open_run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.recorded import sha256
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if, what_if
from tests.conftest import varied_script
from tests.generate.test_complete import Unlikely
from tests.recommit import forget_seals

Generate = Callable[..., tuple[Run, str]]
SMALL: dict[str, Any] = {"likelihood__calibration": 20, "likelihood__quantile": 0.2}


def instructions(run: Run) -> list[InstructionCandidate]:
    return [row for number in run.rounds() for row in run.instructions(number)]


def instances(run: Run) -> list[InstanceCandidate]:
    return [row for number in run.rounds() for row in run.instances(number)]


def test_the_threshold_is_the_quantile_of_the_first_rounds(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", **SMALL, likelihood__seed_bound=False, stop__target=60)
    gathered: list[float] = []
    frozen = None
    for number in run.rounds():
        rows = run.instructions(number)
        if frozen is None:
            gathered += [row.mean_logprob for row in rows if passed_text_rules(row.reason)]
            if len(gathered) >= 20:
                frozen = quantile(gathered, 0.2)
        for row in rows:
            assert row.logprob_threshold == frozen
            low = frozen is not None and row.mean_logprob < frozen
            if passed_text_rules(row.reason):
                assert (row.reason == "low_likelihood") == low
            if row.reason == "low_likelihood":
                assert row.threshold == frozen
        assert run.info(number)["likelihood"]["instruction"] == frozen
    assert frozen is not None
    assert any(row.reason == "low_likelihood" for row in instructions(run))
    assert any(row.reason == "low_likelihood" for row in instances(run))
    assert replay(run) == []


def test_a_rule_on_the_text_comes_first_and_novelty_after(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20, stop__max_rounds=2)
    strict, _ = generate(
        tmp_path / "strict", stop__target=20, stop__max_rounds=2, likelihood__min_logprob=0.0
    )
    for row in strict.instructions(0):
        known = {one.id: one for one in run.instructions(0)}[row.id]
        expected = "low_likelihood" if passed_text_rules(known.reason) else known.reason
        assert row.reason == expected
        assert row.rouge_l == known.rouge_l or math.isnan(row.rouge_l)


def test_too_likely(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__max_rounds=1, likelihood__max_logprob=-3.0)
    reasons = {row.reason for row in instructions(run)}
    assert "too_likely" in reasons
    assert {row.threshold for row in instructions(run) if row.reason == "too_likely"} == {-3.0}


def test_labels_and_outputs_have_thresholds_of_their_own(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", **SMALL, stop__target=80)
    labelled = {row.id for row in instructions(run) if row.is_classification}
    assert labelled
    for row in instances(run):
        assert row.kind is (Kind.LABEL if row.instruction_id in labelled else Kind.OUTPUT)
    last = run.info(run.rounds()[-1])["likelihood"]
    assert len({last["instruction"], last["output"], last["label"]}) == 3


def test_calibration_is_kept_in_the_run_and_in_the_cache(
    tmp_path: Path, generate: Generate
) -> None:
    told: list[Calibrated] = []

    def listen(event: Event) -> None:
        if isinstance(event, Calibrated):
            told.append(event)

    first, _ = generate(tmp_path / "a", listen=listen)
    second, _ = generate(tmp_path / "b", listen=listen)
    assert [event.cached for event in told] == [False, True]
    assert first.calibration() == second.calibration()
    scores = first.calibration()
    # 12 seeds, each an instruction in a list and an output of its own.
    assert len({row.seed_id for row in scores if row.kind is Kind.INSTRUCTION}) == 12
    assert len({row.seed_id for row in scores if row.kind is Kind.OUTPUT}) == 12
    least = min(row.mean_logprob for row in scores if row.kind is Kind.OUTPUT)
    assert first.info(0)["likelihood"]["output"] == least
    other, _ = generate(tmp_path / "c", listen=listen, model__dtype="float32")
    assert not told[-1].cached
    assert calibration_starts(other)[0].keys() == {Kind.INSTRUCTION, Kind.OUTPUT}


def test_a_damaged_calibration_is_a_damaged_run(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run")
    file = run.path / "calibration.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"calibration\.parquet"):
        generate(tmp_path / "run", resume=True, stop__target=30)
    file.unlink()
    with pytest.raises(StoreError, match=r"calibration\.parquet"):
        replay(open_run(run.path))


def test_killed_and_resumed_is_the_same(tmp_path: Path, generate: Generate) -> None:
    whole, _ = generate(tmp_path / "whole", **SMALL, stop__target=50)
    out = tmp_path / "killed"
    with pytest.raises(EngineError):
        generate(out, **SMALL, stop__target=50, engine={"die_after": 90})
    with pytest.raises(EngineError):
        generate(out, resume=True, stop__target=50, engine={"die_after": 40})
    resumed, _ = generate(out, resume=True, stop__target=50)
    assert [row.id for row in export_rows(resumed)] == [row.id for row in export_rows(whole)]
    assert [row.logprob_threshold for row in instructions(resumed)] == [
        row.logprob_threshold for row in instructions(whole)
    ]
    assert replay(resumed) == []


def worded_script(request: Request) -> str | tuple[str, str]:
    """As `varied_script`, but each instruction's words tell its kind: no answer is weighed."""
    answer = varied_script(request)
    text, finish = answer if isinstance(answer, tuple) else (answer, "stop")
    return re.sub("Defend|Praise|Invent", "Describe", text), finish


def test_an_engine_that_only_scores_given_text(tmp_path: Path, generate: Generate) -> None:
    how = {**SMALL, "stop__target": 30, "script": worded_script}
    how |= {"likelihood__seed_bound": True}
    whole, _ = generate(tmp_path / "whole", **how)
    only_scores = Capabilities(logprobs=False, score=True, seeded=True)
    run, _ = generate(tmp_path / "run", **how, engine={"capabilities": only_scores})
    assert list(map(repr, instructions(run))) == list(map(repr, instructions(whole)))  # NaN is NaN
    assert list(map(repr, instances(run))) == list(map(repr, instances(whole)))
    assert replay(run) == []
    # What was only scored was not written, and does not count as such.
    assert summarise(run).tokens["generated"] == summarise(whole).tokens["generated"]
    kinds = {c.request.stage for number in run.rounds() for c in run.completions(number)}
    assert Stage.SCORE in kinds


def test_an_engine_that_gives_nothing(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = Capabilities(logprobs=False, score=False, seeded=True)
    run, _ = generate(
        tmp_path / "run", **SMALL, likelihood__gain=True, engine={"capabilities": nothing}
    )
    assert "rejects nothing" in caplog.text
    assert "conditional_gain will be NaN" in caplog.text
    parsed = [row for row in instructions(run) if row.reason != "parse_failure"]
    assert all(math.isnan(row.mean_logprob) for row in parsed)
    assert {row.unscored_reason for row in parsed} == {"engine_gives_no_logprobs"}
    assert not any(row.reason == "low_likelihood" for row in instructions(run))
    gains = [row for row in instances(run) if row.output]
    assert all(math.isnan(row.conditional_gain or 0) for row in gains)
    assert {row.gain_unscored_reason for row in gains} == {"output_not_scored"}
    assert replay(run) == []


def test_conditional_gain_is_recorded_where_it_is_asked_for(
    tmp_path: Path, generate: Generate
) -> None:
    plain, _ = generate(tmp_path / "plain")
    assert all(row.conditional_gain is None for row in instances(plain))
    run, _ = generate(tmp_path / "run", likelihood__gain=True)
    by_id = {c.id: c for number in run.rounds() for c in run.completions(number)}
    rows = [row for row in instances(run) if row.num_tokens]
    assert rows
    for row in rows:
        alone = by_id[f"{row.id}-score"]
        assert row.output in alone.text
        assert row.instruction_id not in alone.prompt
        mean = sum(alone.token_logprobs or ()) / len(alone.token_ids)
        assert row.conditional_gain == pytest.approx(row.output_logprob - mean)
    assert {math.copysign(1, row.conditional_gain or 0) for row in rows} == {1, -1}
    prompts = {by_id[f"{row.id}-score"].prompt for row in rows}
    assert len(prompts) == 1  # the same premise for all
    assert replay(run) == []


def test_each_merged_run_keeps_the_scale_of_its_model(tmp_path: Path, generate: Generate) -> None:
    first, _ = generate(tmp_path / "a", **SMALL, stop__target=30)
    second, _ = generate(
        tmp_path / "b", **SMALL, stop__target=30, seed=1, engine={"kind": Unlikely}
    )
    merged = merge([first, second], tmp_path / "both")
    assert replay(merged) == []
    offset = len(first.rounds())
    last = merged.rounds()[-1]
    one, other = (merged.info(n)["likelihood"]["instruction"] for n in (offset - 1, last))
    assert other < one - 3
    low = [r for n in merged.rounds() for r in merged.instructions(n) if n >= offset]
    share = sum(row.reason == "low_likelihood" for row in low) / len(low)
    assert share < 0.4
    # Merged again, and grown: what is written next is judged on the first model's scale.
    again = merge([merged, first], tmp_path / "again")
    assert replay(again) == []
    grown, _ = generate(tmp_path / "both", resume=True, stop__target=90)
    assert grown.rounds()[-1] > last
    assert grown.info(grown.rounds()[-1])["likelihood"]["instruction"] > other + 3
    assert replay(open_run(grown.path)) == []


def test_a_run_from_before_there_was_a_filter(tmp_path: Path, generate: Generate) -> None:
    import yaml

    off = {"likelihood__quantile": None, "likelihood__seed_bound": False}
    run, _ = generate(tmp_path / "run", **off, stop__target=60)
    meta = yaml.safe_load((run.path / "run.yaml").read_text())
    del meta["config"]["likelihood"], meta["calibration"]
    (run.path / "run.yaml").write_text(yaml.safe_dump(meta))
    (run.path / "calibration.parquet").unlink()
    new = ["kind", "logprob_threshold", "conditional_gain", "gain_unscored_reason"]
    forget_seals(run.path)
    for number in run.rounds():
        info = run.info(number)
        for name in ("instructions", "instances"):
            file = run.round_path(number) / f"{name}.parquet"
            table = pq.read_table(file)
            pq.write_table(table.drop_columns([c for c in new if c in table.column_names]), file)
            info["checksums"][file.name] = sha256(file)
        del info["likelihood"]
        (run.round_path(number) / "round.json").write_text(json.dumps(info))
    old = open_run(run.path)
    assert replay(old) == []
    strict = what_if(old, Thresholds(quantile=0.3))
    saved = save_what_if(old, Thresholds(quantile=0.3), tmp_path / "saved")
    assert strict.after == what_if(saved, Thresholds()).after
    assert strict.instances_after == what_if(saved, Thresholds()).instances_after
    grown, _ = generate(tmp_path / "run", resume=True, stop__target=70)
    assert summarise(grown).tasks == 70
    assert replay(open_run(run.path)) == []


def test_killed_between_calibration_and_the_first_round_it_starts_again(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("selfinstruct.store.folder.write_meta", die)
        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Killed for good, it could not tidy up.
    (tmp_path / "run").mkdir()
    for name in (".selfinstruct.lock", "calibration.parquet", ".calibration.parquet.tmp"):
        (tmp_path / "run" / name).write_bytes(b"")
    run, _ = generate(tmp_path / "run")
    assert replay(run) == []


def test_what_failed_is_not_kept_in_the_cache(tmp_path: Path, generate: Generate) -> None:
    class Failing(ScriptedEngine):
        def _completion_of(self, request: Any) -> Any:
            found = super()._completion_of(request)
            if request.scored is None:
                return found
            return replace(found, token_logprobs=None, error="prompt of 9 tokens, context of 8")

    generate(tmp_path / "a", engine={"kind": Failing})
    told: list[Event] = []
    generate(tmp_path / "b", listen=told.append)
    assert [event.cached for event in told if isinstance(event, Calibrated)] == [False]
    generate(tmp_path / "c", listen=told.append, engine__options={"quantization": "fp8"})
    assert [event.cached for event in told if isinstance(event, Calibrated)] == [False, False]


def test_a_seed_is_not_shown_its_own_answer(tmp_path: Path, generate: Generate) -> None:
    prompts: dict[str, str] = {}

    class Watching(ScriptedEngine):
        def _completion_of(self, request: Any) -> Any:
            if request.id.startswith("calibration-output"):
                prompts[request.parents[0]] = request.prompt
            return super()._completion_of(request)

    generate(tmp_path / "run", engine={"kind": Watching})
    assert len(prompts) == 12
    for id, prompt in prompts.items():
        number = id.rpartition("_")[2]
        assert f"Proverb {number} says that patience pays." not in prompt
