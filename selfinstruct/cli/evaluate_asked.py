"""What the options of `evaluate` name: contestants, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfinstruct.cli.options import text_or_file

if TYPE_CHECKING:
    from selfinstruct.evaluate.answers import Questions
    from selfinstruct.evaluate.evaluation import Contestant
    from selfinstruct.inputs.read_data import ReadAs


def questions(
    tasks: str | None,
    choices: str | None,
    pairs: str | None,
    plain_text: str | None,
    reading: ReadAs,
) -> Questions:
    """Return what is asked: the shipped tasks and passages if nothing is named.

    Raises:
        ConfigError: something cannot be read.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.answers import Questions
    from selfinstruct.evaluate.choices import read_choices, read_ranked_pairs
    from selfinstruct.evaluate.plain_text import read_passages, shipped_passages
    from selfinstruct.evaluate.tasks import read_eval_tasks, shipped_eval_tasks
    from selfinstruct.inputs.read_data import AS_IT_IS

    named = {"--tasks": tasks, "--choices": choices, "--pairs": pairs}
    several = [option for option, value in named.items() if value is not None]
    if len(several) > 1 and (reading.format or reading.columns):
        raise ConfigError(
            f"--format and --columns: {' and '.join(several)} have rows of their own; evaluate "
            "them one after the other, or rename the columns in the files"
        )
    asked = read_choices(choices, reading) if choices else []
    ranked = read_ranked_pairs(pairs, reading) if pairs else []
    answered = tasks is not None or not (asked or ranked)
    known = read_eval_tasks(tasks, reading=reading) if tasks else []
    if answered and not tasks:
        known = read_eval_tasks(shipped_eval_tasks(), reading=AS_IT_IS)
    passages: list[str] = []
    if plain_text not in (None, "none"):
        passages = read_passages(Path(str(plain_text)))
    elif plain_text is None and answered:
        passages = read_passages(shipped_passages())
    return Questions(known, 1, passages=passages, choices=asked, pairs=ranked)


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
