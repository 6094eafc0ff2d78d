"""What the options of `evaluate` name: contestants, and what they are asked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from selfinstruct.cli.options import text_or_file

if TYPE_CHECKING:
    from selfinstruct.common.records import LocalModel
    from selfinstruct.engines.isolated import Advance, Loaded
    from selfinstruct.evaluate.answers import Questions
    from selfinstruct.evaluate.evaluation import Contestant
    from selfinstruct.evaluate.harness import (
        Harness,
        HarnessQuestion,
        HarnessResults,
        HarnessTasks,
    )
    from selfinstruct.evaluate.scorer import TextScorer
    from selfinstruct.evaluate.verdicts import Judge
    from selfinstruct.inputs.read_data import ReadAs
    from selfinstruct.labellers.duels import Duel


def questions(
    named: Mapping[str, str | None],
    plain_text: str | None,
    reading: ReadAs,
    *,
    shipped: bool,
) -> Questions:
    """Return what is asked.

    Args:
        named: the data of `--tasks`, `--choices` and `--pairs`.
        plain_text: a file of passages, `none`, or None for the shipped ones beside tasks.
        reading: how the data is read.
        shipped: whether the shipped tasks are asked where nothing is named.

    Raises:
        ConfigError: something cannot be read.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.answers import Questions
    from selfinstruct.evaluate.choices import read_choices, read_ranked_pairs
    from selfinstruct.evaluate.plain_text import read_passages, shipped_passages
    from selfinstruct.evaluate.tasks import read_eval_tasks, shipped_eval_tasks
    from selfinstruct.inputs.read_data import AS_IT_IS

    tasks, choices, pairs = (named[option] for option in ("--tasks", "--choices", "--pairs"))
    several = [option for option, value in named.items() if value is not None]
    if len(several) > 1 and (reading.format or reading.columns):
        raise ConfigError(
            f"--format and --columns: {' and '.join(several)} have rows of their own; evaluate "
            "them one after the other, or rename the columns in the files"
        )
    asked = read_choices(choices, reading) if choices else []
    ranked = read_ranked_pairs(pairs, reading) if pairs else []
    answered = tasks is not None or (shipped and not (asked or ranked))
    known = read_eval_tasks(tasks, reading=reading) if tasks else []
    if answered and not tasks:
        known = read_eval_tasks(shipped_eval_tasks(), reading=AS_IT_IS)
    passages: list[str] = []
    if plain_text not in (None, "none"):
        passages = read_passages(Path(str(plain_text)))
    elif plain_text is None and answered:
        passages = read_passages(shipped_passages())
    return Questions(known, 1, passages=passages, choices=asked, pairs=ranked)


def check_questions(asked: Questions, *, judged: bool, scored: bool = False) -> None:
    """Refuse a judge, a classifier and pass@k without answers for them.

    Raises:
        ConfigError: names the option.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.pass_at import has_check

    if judged and not asked.tasks:
        raise ConfigError("--judge: there are no answers to judge; give --tasks too")
    if scored and not asked.tasks:
        raise ConfigError("--scorer: there are no answers to score; give --tasks too")
    if asked.pass_at and not any(map(has_check, asked.tasks)):
        raise ConfigError(
            "--pass-at: no task has a check; give --tasks with a column `check`, such as "
            '{"contains": "Paris"}, or `closed` for those with one right answer'
        )


def judge_of(
    model: str, tasks: int | None, template: str, dtype: str, apart: Callable[..., Any]
) -> Judge:
    """Return the judge of answers.

    Args:
        model: which one.
        tasks: how many of the tasks it judges; None: all.
        template: what it is shown.
        dtype: as the user asked for it.
        apart: has work done with an engine in a process of its own.
    """
    from selfinstruct.engines.isolated import Loaded
    from selfinstruct.evaluate.verdicts import Judge, judge_duels
    from selfinstruct.labellers.duels import judge_dtype
    from selfinstruct.models import resolve_model

    loaded = Loaded(model, judge_dtype(dtype))

    def ask(duels: Mapping[str, Duel], path: Path, advance: Advance) -> None:
        apart(loaded, partial(judge_duels, duels=duels, template=template, path=path), advance)

    return Judge(resolve_model(model, lambda *_: None), template, loaded.dtype, ask, tasks)


def scorer_of(text: str) -> TextScorer:
    """Return the classifier that scores answers, in a process of its own.

    Raises:
        ConfigError: there is none, it is no classifier, or has no such label.
    """
    from selfinstruct.engines.isolated import apart
    from selfinstruct.evaluate.scorer import TextScorer
    from selfinstruct.labellers.classifier import classified, read_classifier

    labelled = read_classifier(text)

    def ask(texts: Sequence[str], advance: Advance) -> list[float]:
        return apart(partial(classified, labelled, list(texts)), advance, labelled.model.name)

    return TextScorer(labelled, ask)


def harness_of(tasks: HarnessTasks, apart: Callable[..., Any]) -> Harness:
    """Return lm-evaluation-harness with tasks, asked in a process of its own."""
    from selfinstruct.evaluate.harness import Harness, run_harness

    def ask(loaded: Loaded, question: HarnessQuestion, advance: Advance) -> HarnessResults:
        found: HarnessResults = apart(loaded, partial(run_harness, question=question), advance)
        return found

    return Harness(tasks, ask)


def pass_at_values(text: str | None, samples: int | None) -> tuple[int, ...]:
    """Return the values of k, the smallest first.

    Raises:
        ConfigError: one is no number, or there are fewer samples.
    """
    from selfinstruct.common.errors import ConfigError

    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"--pass-at {text}: give numbers from 1, such as 1,5")
    most = max((int(part) for part in parts), default=0)
    if samples is not None and samples < most:
        raise ConfigError(f"--pass-at {text}: needs --samples {most} or more, not {samples}")
    return tuple(sorted({int(part) for part in parts}))


def contestants_of(models: list[str], few_shot: list[str], system: list[str]) -> list[Contestant]:
    """Return the models by name, with the examples and system prompts that they are shown.

    Raises:
        ConfigError: an option cannot be read, or names no model.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.evaluation import Contestant

    shots: dict[str, int] = {}
    for_all = 0
    for text in few_shot:
        name, _, number = text.rpartition("=")
        if not number.isdigit() or text.startswith("="):
            raise ConfigError(f"--few-shot {text}: give N for all models, or NAME=N, as in base=4")
        if name:
            shots[name] = int(number)
        else:
            for_all = int(number)
    prompts: dict[str, str] = {}
    for text in system:
        name, mark, prompt = text.partition("=")
        if not mark or not prompt.strip():
            raise ConfigError(f"--system {text}: give NAME=TEXT or NAME=FILE")
        prompts[name] = text_or_file(prompt)
    contestants = []
    for text in models:
        name, mark, model = text.partition("=")
        if not mark or not name or not model or "/" in name:
            raise ConfigError(f"--model {text}: give NAME=MODEL, such as base=gemma-3-270m")
        contestants.append(Contestant(name, model, shots.pop(name, for_all), prompts.pop(name, "")))
    for option, left in (("--few-shot", shots), ("--system", prompts)):
        if left:
            raise ConfigError(f"{option} {', '.join(left)}: no --model has this name")
    return contestants


def print_commands(
    contestants: Sequence[Contestant],
    tasks: HarnessTasks,
    out: Path,
    resolve: Callable[[str], LocalModel],
    dtype: str,
) -> NoReturn:
    """Print the commands of lm-evaluation-harness that ask the contestants, and end.

    Raises:
        ConfigError: always; it says what to install.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.common.installing import install_line
    from selfinstruct.engines.machine import installed_vllm
    from selfinstruct.evaluate.harness import FOLDER, HarnessQuestion, harness_command

    kind = "vllm" if installed_vllm() else "hf"
    for contestant in contestants:
        question = HarnessQuestion(tasks, contestant.shots, contestant.system)
        folder = out / FOLDER / contestant.name
        model = resolve(contestant.model)
        command = harness_command(model, question, folder, dtype=dtype, kind=kind)
        print(shlex.join(command))
    raise ConfigError(
        "--lm-eval: lm-evaluation-harness is not installed here, and nothing was asked. Install it "
        f"and repeat this command: {install_line('lm-eval')}. Or run what is printed above where "
        "`lm-eval[vllm]`, `lm-eval[hf]` or, for a server, `lm-eval[api]` is installed"
    )
