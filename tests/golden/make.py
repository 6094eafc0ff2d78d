"""Make the golden runs and write down what is expected of them.

A golden run is made once, by the code of its time, and committed. This script never makes one
anew: it refuses a name that is there. A path that came later gets a run of its own beside the
others: add it to `runs.py`, commit the code that it is to be made by, and run

    python -m tests.golden.make NAME

Expected values, too, are recorded once, when a run is made: they say what the code of that
day did. The first runs were made by the code of commit 51cdbc4, before it was rebuilt. Three
are older: `old_first` and `old_chat` were made by commit b42668b, the first that works for
them, `old_filterless` by commit e3592d8, the last one before there was a likelihood filter
(dff51b6). For these the script checks that commit out into a folder of its own and has its
own code run the loop, on its own scripted engine (`old.py`); the history must be there.

`no_rule` was judged without the rule `not_a_task`, and what it asks next was written down
while its config still said so. Then the key was taken out of run.yaml: a run of before
that rule looks like this.

`half/` holds work that was stopped half-way: `halves.py` and `trainings.py` say how it began.
The trainings start from `tiny/`, a random model that is made with the first of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from selfinstruct.audit.rating import rate, undo_rating
from selfinstruct.audit.sample import draw_sample
from selfinstruct.common import ids
from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.decisions import decide as decisions
from selfinstruct.decisions.decide import Words
from selfinstruct.decisions.labels import Rating
from selfinstruct.generate.launch import resolve_model
from selfinstruct.store import Run, open_run
from selfinstruct.store.chats import read_chat_commits
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.golden import halves as half_done
from tests.golden import trainings, workshop
from tests.golden.adapter import Asked, GoldenEngine
from tests.golden.halves import HALVES
from tests.golden.runs import EXPECTED, EXPECTED_HALF, GOLDEN, HALF, HERE, RUNS, SETTINGS
from tests.golden.trainings import TRAININGS

OLDER = {"old_first": "b42668b", "old_chat": "b42668b", "old_filterless": "e3592d8"}


def main(names: list[str]) -> None:
    os.chdir(HERE)
    halves = {**HALVES, **TRAININGS}
    places = {name: (RUNS / name, EXPECTED / f"{name}.json") for name in GOLDEN}
    places |= {name: (HALF / name, EXPECTED_HALF / f"{name}.json") for name in halves}
    lacking = [name for name, made in places.items() if not any(path.exists() for path in made)]
    for name in names or lacking:
        if name not in lacking:
            sys.exit(f"{name}: is there already, or unknown; what is golden is never made again")
        with tempfile.TemporaryDirectory() as cache:
            os.environ["SELFINSTRUCT_CACHE"] = cache
            if name in halves:
                make_half(name, trainings if name in TRAININGS else half_done)
            else:
                make(name)
                record(name)


def make(name: str) -> None:
    out = RUNS / name
    if name in OLDER:
        by_older_code(name, out)
    elif name in FROM_OTHERS:
        FROM_OTHERS[name](out)
    else:
        golden = GOLDEN[name]
        with patch("selfinstruct.generate.launch.resolve_model", resolved_with(golden.modes)):
            workshop.generate(out, golden, {**SETTINGS, **(golden.settings or {})}, resume=False)
    tidy(out)


def resolved_with(modes: Mapping[str, str] | None) -> Callable[..., Any]:
    """Return `resolve_model`, of a model that is known to want these promptings."""
    return lambda *given: replace(resolve_model(*given), prompting=modes)


def by_older_code(name: str, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--detach", str(code), OLDER[name]], check=True)
        try:
            command = [sys.executable, "old.py", name, str(out)]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(code)})
        finally:
            subprocess.run([*git, "remove", "--force", str(code)], check=True)


def make_half(name: str, kind: Any) -> None:
    """Begin a piece of work, and write down how it goes on from there, in a copy."""
    if kind is trainings and not trainings.TINY.exists():
        trainings.make_tiny(trainings.TINY)
    kind.begin(name, HALF / name)
    (HALF / name / ".selfinstruct.lock").unlink(missing_ok=True)
    begun = HALF / f".{name}"
    shutil.copytree(HALF / name, begun)
    found = kind.go_on(name, HALF / name)  # under the same path: checkpoints name each other
    shutil.rmtree(HALF / name)
    begun.rename(HALF / name)
    (EXPECTED_HALF / f"{name}.json").write_text(as_json(found, depth=4), encoding="utf-8")


def copy(name: str, out: Path) -> Run:
    shutil.copytree(RUNS / name, out)
    return open_run(out)


def what_if(out: Path) -> None:
    save_what_if(open_run(RUNS / "strict"), Thresholds(rouge=0.6), out)


def completed(out: Path) -> None:
    workshop.ask_all(copy("what_if", out), GOLDEN["completed"], batch_size=4)


def stricter(out: Path) -> None:
    save_what_if(open_run(RUNS / "completed"), Thresholds(rouge=0.25, min_logprob=-1.7), out)


def answered(out: Path) -> None:
    golden = GOLDEN["answered"]
    settings = {**SETTINGS, **(golden.settings or {})}
    run, _ = workshop.generate(out, golden, settings, resume=False)
    workshop.answer_all(run, golden, "chat", batch_size=5)
    workshop.answer_all(run, golden, "base")


def failed(out: Path) -> None:
    """Let a fifth of the requests fail, and a tenth of the texts be all thinking."""
    golden = GOLDEN["failed"]

    def fails(asked: Asked) -> str | None:
        return "the server hung up" if asked.seed % 5 == 1 and asked.stage != "score" else None

    def script(asked: Asked) -> str | tuple[str, str]:
        return ("", "length") if asked.seed % 10 == 2 else golden.voice(asked)

    engine = GoldenEngine(script, thinks=golden.voice.thought, fails=fails)
    settings = {**SETTINGS, **(golden.settings or {})}
    workshop.generate(out, golden, settings, resume=False, engine=engine)


def third_failed(out: Path) -> None:
    """Let a few requests for instances fail for good, so few that the run goes on."""
    golden = GOLDEN["third_failed"]

    def fails(asked: Asked) -> str | None:
        late = asked.stage == "instances"
        return "the server hung up" if late and asked.seed % 9 == 1 else None

    engine = GoldenEngine(golden.voice, thinks=golden.voice.thought, fails=fails)
    settings = {**SETTINGS, **(golden.settings or {})}
    workshop.generate(out, golden, settings, resume=False, engine=engine)


def third_restored(out: Path) -> None:
    run = copy("third", out)
    for reason in ("copies_prompt", "holds_answer", "not_novel"):
        decisions.restore(run, first(run, reason).id, by="golden")


def merged(out: Path) -> None:
    other = Path("other")
    golden = replace(GOLDEN["base"], voice=replace(GOLDEN["base"].voice, salt="other"))
    settings = {**SETTINGS, "seeds": "inputs/other_seeds.jsonl", "seed": 5, "stop.max_rounds": 1}
    try:
        run, _ = workshop.generate(other, golden, settings, resume=False)
        merge([open_run(RUNS / "answered"), open_run(RUNS / "restored"), run], out)
    finally:
        shutil.rmtree(other, ignore_errors=True)


def decided(out: Path) -> None:
    """Decide in every way, and rate a sample."""
    run = copy("base", out)
    by = {"by": "golden"}
    tasks = [row for row in instructions(run) if row.verdict == ACCEPTED]
    outputs = [row for row in instances(run) if row.verdict == ACCEPTED]
    decisions.drop(run, tasks[0].id, note="dull", **by)
    decisions.edit(run, tasks[1].id, Words(text="Describe a calm harbour to a child."), **by)
    decisions.edit(run, tasks[2].id, Words(input="given", output="A typed output."), **by)
    own = [row for row in outputs if row.instruction_id not in {row.id for row in tasks[:3]}]
    decisions.edit(run, own[0].id, Words(output="An edited output."), **by)
    decisions.drop(run, own[-1].id, **by)
    decisions.undo(run, own[-1].id, **by)
    decisions.restore(run, first(run, "over_target").id, **by)
    waiting = [first(run, reason) for reason in ("not_novel", "chatty_preamble")]
    decisions.restore(run, waiting[0].id, **by)
    decisions.edit(run, waiting[1].id, Words(text="Explain why the glacier is slow."), **by)
    low = [row for row in instructions(run) if row.reason == "low_likelihood"]
    for row in low[:2]:
        decisions.restore(run, row.id, **by)
    decisions.drop(run, low[0].id, **by) if low else None
    rejected = [row for row in instances(run) if row.reason == "chatty_preamble"]
    for row in rejected[:1]:
        decisions.restore(run, row.id, **by)
    sample = draw_sample(run, per_reason=2, tables=("instructions", "instances"))
    for number, id in enumerate(sample.ids[:8]):
        rate(run, id, list(Rating)[number % 4], "ada")
        rate(run, id, list(Rating)[number % 3], "bert")
    undo_rating(run, "bert")


def restored(out: Path) -> None:
    run = copy("decided", out)
    workshop.ask_all(run, GOLDEN["restored"])


def conversed(out: Path) -> None:
    """Write self-chats of two makings, and drop one and the end of another."""
    golden = GOLDEN["conversed"]
    settings = {**SETTINGS, **(golden.settings or {})}
    run, _ = workshop.generate(out, golden, settings, resume=False)
    workshop.converse_all(run, golden, 4)
    workshop.converse_all(run, golden, 3)
    chats = [chat for commit in read_chat_commits(run) for chat in commit.chats]
    kept = [chat for chat in chats if chat.verdict == ACCEPTED]
    decisions.drop(run, kept[0].id, by="golden")
    longest = max(kept[1:], key=lambda chat: chat.exchanges)
    decisions.drop(run, ids.turn(longest.id, 2 * longest.exchanges - 1), by="golden")


def revised(out: Path) -> None:
    """Revise outputs and drafts, and edit a task between the two."""
    golden = GOLDEN["revised"]
    settings = {**SETTINGS, **(golden.settings or {})}
    run, _ = workshop.generate(out, golden, settings, resume=False)
    workshop.revise_all(run, golden, {"rounds": 2})
    task = next(row for row in instructions(run) if row.verdict == ACCEPTED)
    decisions.edit(run, task.id, Words(text="Name two trees."), by="golden")
    workshop.revise_all(run, golden, {"rounds": 1, "draft": True, "may_decline": False})


FROM_OTHERS: Mapping[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (
        *(what_if, completed, stricter, answered, failed, merged, decided, restored),
        *(third_failed, third_restored, conversed, revised),
    )
}


def instructions(run: Run) -> list[InstructionCandidate]:
    return [row for number in run.rounds() for row in run.instructions(number)]


def instances(run: Run) -> list[InstanceCandidate]:
    return [row for number in run.rounds() for row in run.instances(number)]


def first(run: Run, reason: str) -> InstructionCandidate:
    return next(row for row in instructions(run) if row.reason == reason)


def tidy(out: Path) -> None:
    """Take away what says of a process and not of the run."""
    (out / ".selfinstruct.lock").unlink(missing_ok=True)
    status = json.loads((out / "status.json").read_text())
    (out / "status.json").write_text(json.dumps({**status, "pid": 0, "heartbeat": 0.0}) + "\n")


def record(name: str) -> None:
    """Write down what is expected of a run from now on."""
    golden, run = GOLDEN[name], open_run(RUNS / name)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        expected: dict[str, Any] = {
            "read": workshop.read_back(run),
            "exports": workshop.exports(run, work),
            "what_if": workshop.judged_otherwise(run),
        }
        shutil.copytree(run.path, work / "grow")
        expected["grow"] = workshop.grow(work / "grow", golden)
        for ask in golden.asks:
            shutil.copytree(run.path, work / ask)
            expected[ask] = workshop.ASKS[ask](work / ask, golden)
    (EXPECTED / f"{name}.json").write_text(as_json(expected), encoding="utf-8")
    if name == "no_rule":
        forget_the_rule(run.path / "run.yaml")


def as_json(value: Any, depth: int = 3) -> str:
    """Return JSON with sorted keys: to a depth one key a line, below it one line a value."""
    return _lines(value, depth, "") + "\n"


def _lines(value: Any, depth: int, indent: str) -> str:
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    inner = indent + " "
    rows = (
        f"{inner}{json.dumps(key)}: {_lines(value[key], depth - 1, inner)}" for key in sorted(value)
    )
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def forget_the_rule(file: Path) -> None:
    meta = yaml.safe_load(file.read_text(encoding="utf-8"))
    del meta["config"]["rules"]["not_a_task"]
    text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
