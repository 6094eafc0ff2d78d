"""Imported runs: judged, replayed, resumed, merged, judged again, answered, and trained on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.verify import verify_run
from selfinstruct.common.errors import ConfigError, StoreError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.dataset.card import dataset_card
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.decide import drop, restore
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer import answer
from selfinstruct.generate.complete import pending
from selfinstruct.inputs.task_plan import Mixture
from selfinstruct.store import Run, open_run
from selfinstruct.train.data.rows import read_rows
from selfinstruct.verdicts.import_request import Import
from selfinstruct.verdicts.importing import import_dataset
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if, what_if
from tests.recommit import recommit

Generate = Callable[..., tuple[Run, str]]

# Four templates, two of them with an inverted form.
TEMPLATES = """
name: towns
about: Towns and what they are known for.
templates:
  - name: where
    instruction: Say in which country the town lies.
    input: "{{ town }}"
    output: "{{ country }}"
    classification: true
    inverted:
      instruction: Think of a town that lies in the given country and is known for the given thing.
      input: "{{ country }}, {{ known }}"
      output: "{{ town }}"
  - name: known
    instruction: What is this place famous for? Answer in a few words.
    input: "{{ town }}, {{ country }}"
    output: "{{ known }}"
    inverted:
      instruction: A traveller is looking for the following. Which town would you send them to?
      input: "{{ known }}"
      output: "{{ town }} in {{ country }}"
  - name: visit
    instruction: "Why would anybody who loves {{ known }} travel to {{ town }}?"
    output: "{{ town }} is known for {{ known }}."
  - name: guide
    instruction: Write one line about the town for a guide to its country.
    input: "{{ town }} ({{ country }})"
    output: "In {{ country }} people know {{ town }} for {{ known }}."
"""
FIRST = ("Alt", "Brun", "Cor", "Dal", "Ems", "Fal")
LAST = ("ach", "berg", "dorf", "heim")
KNOWN = ("clocks", "salt mines", "tulips", "steep stairs", "old bridges", "goat cheese")
ROWS = [
    {
        "id": f"town-{n}",
        "town": FIRST[n % 6] + LAST[n // 6],
        "country": ("Norland", "Southmark")[n % 2],
        "known": KNOWN[n * 5 % 6],
    }
    for n in range(24)
]
EVERY = Mixture(per_row=None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "towns.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "towns.yaml").write_text(TEMPLATES, encoding="utf-8")
    return path


def request(data: Path, mixture: Mixture = EVERY, **options: Any) -> Import:
    return Import(str(data), [str(data.with_suffix(".yaml"))], mixture, **options)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Run:
    return import_dataset(request(data), tmp_path / "run").run


def contents(run: Run) -> list[str]:
    """Everything that is recorded, but for times; as text, since NaN does not equal itself."""
    return [repr((run.instructions(n), run.instances(n))) for n in run.rounds()]


def test_rows_become_instances_and_data_in_an_instruction_makes_tasks(run: Run) -> None:
    tasks = {task.template: [] for task in run.instructions(0)}
    for task in run.instructions(0):
        tasks[task.template].append(task)
    assert {name: len(rows) for name, rows in tasks.items()} == {
        "towns/where": 1,
        "towns/where/inverted": 1,
        "towns/known": 1,
        "towns/known/inverted": 1,
        "towns/visit": 24,
        "towns/guide": 1,
    }
    by_template: dict[Any, set[Any]] = {}
    for row in run.instances(0):
        by_template.setdefault(row.template, set()).add(row.reason)
    # 24 towns in 2 countries: each input has one output, whatever others share it.
    assert by_template["towns/where"] == {None}
    # Four towns are known for the same thing: which one is right cannot be told.
    assert by_template["towns/known/inverted"] == {"conflicting_outputs"}
    [lost] = tasks["towns/known/inverted"]
    assert lost.reason == "no_instances"
    # Many questions differ in two words of eleven.
    reasons = {task.reason for task in tasks["towns/visit"]}
    assert reasons == {None, "not_novel"}
    near = [task for task in tasks["towns/visit"] if task.reason == "not_novel"]
    assert all(task.rouge_l > 0.7 and task.neighbour_id for task in near)
    assert {row.source_id for row in run.instances(0)} == {row["id"] for row in ROWS}
    [where] = tasks["towns/where"]
    assert where.is_classification
    assert not tasks["towns/guide"][0].is_classification


def test_it_replays_verifies_and_counts(run: Run) -> None:
    assert replay(run) == []
    verified = verify_run(run)
    assert (verified.rounds, verified.files, verified.problems) == (1, 2, [])
    summary = summarise(run)
    assert summary.candidates == 29
    assert summary.tasks == sum(task.verdict == ACCEPTED for task in run.instructions(0))
    assert summary.status["reason"] == "imported"
    assert summary.tokens == {"prompt": 0, "generated": 0}
    assert not (run.round_path(0) / "completions.parquet").exists()
    assert run.completions(0) == []


def test_replay_finds_a_verdict_that_does_not_follow_from_the_text(run: Run) -> None:
    import pyarrow.parquet as pq

    path = run.round_path(0) / "instances.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("output")
    changed = ["" if n == 3 else text for n, text in enumerate(table["output"].to_pylist())]
    pq.write_table(table.set_column(at, "output", [changed]), path)
    with pytest.raises(StoreError, match=r"imports/00000/instances.parquet: is not what was"):
        replay(run)
    recommit(run.round_path(0))
    differences = replay(run)
    assert {one.field for one in differences} >= {"verdict", "reason"}


def test_limits_on_instances_are_rules_and_what_they_reject_is_kept(
    tmp_path: Path, data: Path
) -> None:
    what = request(data, max_instances=5, max_per_output=2)
    run = import_dataset(what, tmp_path / "few").run
    reasons: dict[str, list[str]] = {}
    for row in run.instances(0):
        reasons.setdefault(row.template or "", []).append(str(row.reason or row.verdict))
    assert reasons["towns/where"].count("accepted") == 4  # 2 of each of 2 labels
    assert reasons["towns/where"].count("surplus_instance") == 20
    assert reasons["towns/guide"].count("accepted") == 5
    assert replay(run) == []


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_import_that_was_cut_off_continues_as_if_it_had_not_been(
    tmp_path: Path, data: Path, stop_after: int
) -> None:
    whole = import_dataset(request(data), tmp_path / "whole", per_commit=20).run
    assert len(whole.rounds()) >= 4
    commits = 0

    def stop(done: int, _total: int) -> None:
        nonlocal commits
        commits += done > 0
        if commits == stop_after:
            raise KeyboardInterrupt

    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        import_dataset(request(data), out, advance=stop, per_commit=20)
    cut = open_run(out)
    assert cut.status() == {**cut.status(), "state": "stopped", "reason": "interrupted"}
    assert len(cut.rounds()) == stop_after
    (out / "imports" / f".{stop_after:05d}.tmp").mkdir()  # a torn commit of a killed process
    with pytest.raises(ConfigError, match="is a run already; --resume continues"):
        import_dataset(request(data), out)
    again = import_dataset(request(data), out, resume=True, per_commit=20).run
    assert contents(again) == contents(whole)
    assert again.meta["fingerprint"] == whole.meta["fingerprint"]
    assert replay(again) == []
    # Nothing is left to do.
    assert contents(import_dataset(request(data), out, resume=True).run) == contents(whole)


def test_a_killed_import_loses_nothing(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "killed"
    code = (
        "import time; from pathlib import Path\n"
        "from selfinstruct.inputs.task_plan import Mixture\n"
        "from selfinstruct.verdicts.import_request import Import\n"
        "from selfinstruct.verdicts.importing import import_dataset\n"
        f"what = Import({str(data)!r}, [{str(data.with_suffix('.yaml'))!r}], "
        "Mixture(per_row=None))\n"
        f"import_dataset(what, Path({str(out)!r}), per_commit=20, "
        "advance=lambda done, total: time.sleep(0.5 if done else 0))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (out / "imports" / "00001").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = contents(open_run(out))
    run = import_dataset(request(data), out, resume=True, per_commit=20).run
    assert contents(run)[: len(before)] == before
    whole = import_dataset(request(data), tmp_path / "whole", per_commit=20).run
    assert contents(run) == contents(whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mixture": Mixture(per_row=None, seed=1)}, "mixture"),
        ({"inverted": 0.0}, "mixture"),
        ({"max_instances": 3}, "limits"),
        ({"values": {"novelty": {"threshold": 0.5}}}, "config"),
    ],
)
def test_other_options_are_refused_on_resume(
    run: Run, data: Path, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"was begun with other {named}"):
        import_dataset(request(data, **change), run.path, resume=True)


def test_other_data_and_templates_are_refused_on_resume(run: Run, data: Path) -> None:
    data.write_text(data.read_text().replace("clocks", "watches"))
    with pytest.raises(ConfigError, match="was begun with other dataset"):
        import_dataset(request(data), run.path, resume=True)
    data.write_text(data.read_text().replace("watches", "clocks"))
    templates = data.with_suffix(".yaml")
    templates.write_text(templates.read_text().replace("few words", "word or two"))
    with pytest.raises(ConfigError, match="was begun with other templates"):
        import_dataset(request(data), run.path, resume=True)


def test_it_merges_with_what_a_model_wrote_either_way(
    tmp_path: Path, run: Run, generate: Generate
) -> None:
    written, _ = generate(tmp_path / "written", stop__target=12)
    for name, runs in (("a", [written, run]), ("b", [run, written])):
        merged = merge(runs, tmp_path / name)
        assert replay(merged) == []
        assert verify_run(merged).problems == []
        assert len(merged.rounds()) == len(written.rounds()) + 1
        assert [merged.is_import(n) for n in merged.rounds()].count(True) == 1
        counts = [summarise(one).tasks for one in (run, written)]
        assert summarise(merged).tasks == sum(counts)
        # The import keeps its own limits: a generated run has 4 instances of an instruction.
        most = max(
            sum(row.verdict == ACCEPTED for row in merged.instances(n) if row.instruction_id == id)
            for n in merged.rounds()
            for id in {row.instruction_id for row in merged.instances(n)}
        )
        assert most == 24
        sources = {row.source_id for row in merged.instances(len(written.rounds()) * (name == "a"))}
        assert sources == {row["id"] for row in ROWS}
    assert (tmp_path / "a" / "inputs" / "import_1.yaml").is_file()
    card = dataset_card(open_run(tmp_path / "a"), Format.MESSAGES, Answers.OWN)
    assert "made by templates from rows of data (towns.jsonl)" in card
    assert "with [Self-Instruct]" in card
    alone = dataset_card(run, Format.MESSAGES, Answers.OWN)
    assert "Self-Instruct" not in alone
    assert "temperature" not in alone


def test_a_merged_run_grows_behind_an_import(tmp_path: Path, run: Run, generate: Generate) -> None:
    written, _ = generate(tmp_path / "written", stop__target=12)
    merged = merge([written, run], tmp_path / "both")
    rounds = len(merged.rounds())
    target = summarise(merged).tasks + 4
    grown, reason = generate(merged.path, resume=True, stop__target=target)
    assert reason == "target"
    assert replay(grown) == []
    assert len(grown.rounds()) > rounds


def test_it_is_judged_again_by_other_thresholds(tmp_path: Path, run: Run) -> None:
    result = what_if(run, Thresholds(rouge=0.2))
    assert result.after["not_novel"] > result.before["not_novel"]
    saved = save_what_if(run, Thresholds(rouge=0.2), tmp_path / "strict")
    assert replay(saved) == []
    assert summarise(saved).instructions["not_novel"] == result.after["not_novel"]
    looser = what_if(run, Thresholds(rouge=1.0))
    assert looser.after["not_novel"] == 0


def test_people_decide_about_it_and_nothing_waits_for_a_model(run: Run) -> None:
    rows = list(export_rows(run))
    drop(run, rows[0].id, by="ann")
    near = next(task for task in run.instructions(0) if task.reason == "not_novel")
    restore(run, near.id, by="ann")
    after = list(export_rows(run))
    assert rows[0].id not in {row.id for row in after}
    # Its instance comes back with it: it was rejected with its instruction alone.
    assert near.id in {row.instruction_id for row in after}
    assert pending(run) == []
    assert replay(run) == []


def test_a_model_is_refused_and_a_teacher_is_not(
    tmp_path: Path, run: Run, generate: Generate, model_folder: Path
) -> None:
    with pytest.raises(ConfigError, match="was imported, so it has no model; generate a run"):
        generate(run.path, resume=True, stop__target=99)
    answered = answer(
        run,
        {"model": {"name": str(model_folder)}},
        make_engine=lambda *_: ScriptedEngine(lambda _: "It lies in the far north."),
        model_progress=lambda _what, _share: None,
        advance=lambda _done, _owed: None,
    )
    assert answered.accepted > 0
    assert replay(run) == []


def test_training_reads_it(run: Run) -> None:
    rows = read_rows(run.path).rows
    assert len(rows) == len(list(export_rows(run)))
    assert rows[0].answer


def test_seeds_and_texts_to_avoid_count(tmp_path: Path, data: Path) -> None:
    avoid = tmp_path / "avoid.txt"
    avoid.write_text("Say in which country the town lies!\n")
    what = request(data, values={"avoid": str(avoid)})
    run = import_dataset(what, tmp_path / "run").run
    first = next(task for task in run.instructions(0) if task.template == "towns/where")
    assert (first.reason, first.neighbour_id) == ("not_novel", "avoid:1")
    assert replay(run) == []
