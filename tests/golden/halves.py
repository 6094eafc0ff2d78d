"""Work that was stopped half-way: preferences, best-of, evaluations. How it began, and goes on.

Each is one function of a folder and of the models that are asked. `make.py` calls it with
models that die; the tests call it with models that answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Loaded
from selfinstruct.evaluate.answers import ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.evaluation import Conditions, Contestant, evaluate
from selfinstruct.evaluate.tasks import read_eval_tasks
from selfinstruct.evaluate.verdicts import Judge, judge_duels
from selfinstruct.labellers.base import Processes, Scorer
from selfinstruct.labellers.duels import TEMPLATE, Duel
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.likelihood import LIKELIHOOD
from selfinstruct.labellers.reference import REFERENCE
from selfinstruct.models import resolve_model
from selfinstruct.preferences.best_of import Choice, best_of
from selfinstruct.preferences.prefer import PreferSettings, prefer
from selfinstruct.preferences.sample import SampleSettings, prompts_of
from selfinstruct.preferences.workplace import Workplace
from selfinstruct.store import open_run
from tests.golden.adapter import Asked, GoldenEngine, digest
from tests.golden.runs import MODEL, RUNS, TEACHER
from tests.golden.script import SUBJECTS
from tests.golden.workshop import number_of, plain_row, requests_of

RUN = RUNS / "base"
PASSAGES = ("Ann lost her red scarf. She looked, and there lay the scarf.", "One two three four.")


def answers(model: str, asked: Asked) -> str:
    number = asked.seed + len(model)
    words = ["calm", "wild", "good", "odd"][: 1 + number % 4]
    return f" A {' '.join(words)} answer about the {SUBJECTS[number % 16]}, {asked.seed % 50}."


@dataclass
class Models:
    """Stand for processes of their own; what each was asked is kept, by its name.

    dies: completions after which a model dies, by name; 0 dies at once.
    """

    dies: Mapping[str, int] = field(default_factory=dict)
    engines: list[tuple[str, GoldenEngine]] = field(default_factory=list)

    def __call__(self, loaded: Loaded, work: Any, advance: Any) -> Any:
        return work(self.engine(loaded.model), advance=advance)

    def engine(self, name: str) -> GoldenEngine:
        engine = GoldenEngine(partial(answers, name), die_after=self.dies.get(name))
        self.engines.append((name, engine))
        return engine

    def asked(self) -> dict[str, Any]:
        return {name: requests_of(engine) for name, engine in self.engines if engine.requests}


def local(name: str) -> LocalModel:
    return resolve_model(name, lambda *_: None)


def workplace(out: Path, models: Models, *, resume: bool) -> Workplace:
    return Workplace(out, Processes(models, lambda *_: []), lambda *_: None, resume)


def preferences(out: Path, models: Models, scorer: Scorer, *, resume: bool) -> dict[str, Any]:
    report = prefer(
        open_run(RUN),
        local(MODEL),
        # The type is named, since a judge's depends on the machine otherwise.
        PreferSettings(k=3, held_out=2, dtype="float32"),
        scorer,
        workplace(out, models, resume=resume),
    )
    return {"report": rounded(report), **rows_of(out)}


def by_likelihood(out: Path, models: Models, *, resume: bool) -> dict[str, Any]:
    return preferences(out, models, Scorer(LIKELIHOOD), resume=resume)


def by_judge(out: Path, models: Models, *, resume: bool) -> dict[str, Any]:
    return preferences(out, models, Scorer(JUDGE, local(TEACHER)), resume=resume)


def best(out: Path, models: Models, *, resume: bool) -> dict[str, Any]:
    report = best_of(
        prompts_of(open_run(RUN)),
        local(MODEL),
        SampleSettings(k=3, temperature=0.8, max_tokens=50, seed=3, scored=True),
        Choice(Scorer(LIKELIHOOD), Scorer(REFERENCE)),
        workplace(out, models, resume=resume),
        dtype="float32",
    )
    chosen = (out / "best.jsonl").read_text(encoding="utf-8")
    return {"report": rounded(report), "best": digest(chosen)}


def evaluated(out: Path, models: Models, *, resume: bool, judged: bool = False) -> dict[str, Any]:
    """Evaluate two models; `resume` says nothing, since an evaluation goes on by itself."""

    def ask(loaded: Loaded, asked: Questions, advance: Any) -> ModelAnswers:
        return answer_questions(models.engine(loaded.model), asked, advance=advance)

    def ask_judge(duels: Mapping[str, Duel], path: Path, advance: Any) -> None:
        engine = models.engine("judge")
        judge_duels(engine, duels=duels, template=TEMPLATE, path=path, advance=advance)

    found = evaluate(
        [Contestant("first", MODEL), Contestant("second", TEACHER, shots=1)],
        Questions(
            read_eval_tasks(Path("inputs/eval_tasks.jsonl")),
            max_tokens=40,
            samples=2,
            temperature=0.5,
            passages=PASSAGES,
        ),
        Conditions(out, "float32", ask, resolve=local, advance=lambda *_: None),
        Judge(local(MODEL), TEMPLATE, "float32", ask_judge) if judged else None,
    )
    wins = [[str(one.decided), one.a, one.b, one.rate, one.ties, one.n] for one in found.wins]
    return {"means": rounded(found.means), "wins": rounded(wins)}


HALVES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "prefer_likelihood": by_likelihood,
    "prefer_judge": by_judge,
    "best_of": best,
    "evaluate": evaluated,
    "evaluate_judged": partial(evaluated, judged=True),
}
_DIES: Mapping[str, Mapping[str, int]] = {
    "prefer_likelihood": {MODEL: 60},
    "prefer_judge": {TEACHER: 80},
    "best_of": {MODEL: 60},
    "evaluate": {TEACHER: 0},
    "evaluate_judged": {"judge": 10},
}


def begin(name: str, out: Path) -> None:
    """Do a half of the work, in batches small enough that some are kept."""
    try:
        with small_batches():
            HALVES[name](out, Models(_DIES[name]), resume=False)
    except EngineError:
        if name == "evaluate_judged":  # and the process died while it wrote
            with (out / "verdicts.jsonl").open("a", encoding="utf-8") as file:
                file.write('{"key": "0123')
        return
    raise AssertionError(f"{name}: is done, and was to stop half-way")


def go_on(name: str, out: Path) -> dict[str, Any]:
    """Do the rest; return what was asked, and what came of it all."""
    models = Models()
    result = HALVES[name](out, models, resume=True)
    return {"asked": models.asked(), "result": result}


@contextmanager
def small_batches() -> Iterator[None]:
    sample = "selfinstruct.preferences.sample.sample_answers.__kwdefaults__"
    with (
        patch(sample, {"batch_size": 4}),
        patch("selfinstruct.labellers.judge.BATCH", 3),
        patch("selfinstruct.evaluate.verdicts._BATCH", 2),
    ):
        yield


def rows_of(out: Path) -> dict[str, str]:
    """Return a digest of the rows of each table of preferences."""
    return {
        path.stem: digest([plain_row(row) for row in pq.read_table(path).to_pylist()])
        for path in sorted(out.glob("*.parquet"))
    }


def rounded(value: Any) -> Any:
    """Return a value as JSON holds it, with numbers to nine places."""
    if isinstance(value, float):
        return number_of(value)
    if isinstance(value, Mapping):
        return {str(key): rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return json.loads(json.dumps(value))
