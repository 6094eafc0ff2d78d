"""Which worked tasks, and which penalty, give a base model's outputs that people would write.

    python scripts/study_exemplars.py [--model gemma-3-270m] [--tasks 90]

Each way asks the model for the outputs of seed tasks that it is not shown, and compares what
the rules would keep with what people wrote: words, and ROUGE-L. So the settings of a base model
are chosen without a look at the eval tasks. About seven minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import random
from statistics import fmean, median

from rich.console import Console
from rich.table import Table

from selfinstruct.common.records import Completion, Form, Reading, Request, SeedTask, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import ask_all
from selfinstruct.engines.registry import build_engine
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.filters.text import repetition
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.models import resolve_model

HEADER = (
    "Each task below is done well and completely. What the task works on, if anything, stands "
    'after "Input:", and the result after "Output:".\n'
)
# Name: exemplars, least and most words of their outputs, repetition penalty, temperature.
WAYS = {
    "4 of 20–90 words": (4, 20, 90, 1.0, 0.0),
    "4 of 20–90 words, penalty 1.1": (4, 20, 90, 1.1, 0.0),
    "4 of 45–120 words": (4, 45, 120, 1.0, 0.0),
    "6 of 45–120 words, temperature 0.5": (6, 45, 120, 1.0, 0.5),
    "8 of 25–90 words": (8, 25, 90, 1.0, 0.0),
}


def block(task: SeedTask, *, worked: bool) -> str:
    """Return a task as the prompt writes it, with its output or open for one."""
    one = task.instances[0]
    text = f"\nTask: {task.instruction}\n" + (f"Input: {one.input}\n" if one.input else "")
    return f"{text}Output: {one.output}\n\n###\n" if worked else f"{text}Output:"


def shown(tasks: list[SeedTask], count: int, least: int, most: int) -> list[SeedTask]:
    """Choose exemplars, those without an input and those with one in turn."""
    fitting = [
        task
        for task in tasks
        if least <= len(task.instances[0].output.split()) <= most
        and len(task.instances[0].input.split()) < 60
    ]
    given = [task for task in fitting if task.instances[0].input][: count // 2]
    alone = [task for task in fitting if not task.instances[0].input][: count - count // 2]
    return [task for pair in zip(alone, given, strict=False) for task in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--tasks", type=int, default=90)
    options = parser.parse_args()
    path = shipped_seeds()
    free = [
        seed
        for seed in parse_seeds(read_seed_bytes(path), path)
        if seed.is_classification is False and seed.instances
    ]
    random.Random(7).shuffle(free)
    exemplars = {name: shown(free, *way[:3]) for name, way in WAYS.items()}
    used = {task.instruction for chosen in exemplars.values() for task in chosen}
    asked = [task for task in free if task.instruction not in used][: options.tasks]
    model = resolve_model(options.model, lambda *_: None)
    config = ModelConfig.model_validate({"name": options.model})
    engine = build_engine(model, config, EngineConfig())
    requests = []
    for name, (*_, penalty, temperature) in WAYS.items():
        sampling = SamplingConfig(
            temperature=temperature,
            repetition_penalty=penalty,
            min_p=0.1 if temperature else 0.0,
            max_tokens=200,
            stop=("###", "\nTask:"),
        )
        before = HEADER + "".join(block(task, worked=True) for task in exemplars[name])
        requests += [
            Request(
                id=f"{name}/{number}",
                about=name,
                stage=Stage.ANSWER,
                reading=Reading(Form.WHOLE),
                prompt=before + block(task, worked=False),
                sampling=sampling,
                seed=number,
            )
            for number, task in enumerate(asked)
        ]
    engine.start(1600)
    done = {one.id: one for one in ask_all(engine, requests, lambda *_: None)}
    engine.close()
    table = Table(title=f"{options.model}, {len(asked)} seed tasks that are not shown")
    for column in ("exemplars", "kept", "words, mean", "median", "ROUGE-L of kept", "of all"):
        table.add_column(column, justify="left" if column == "exemplars" else "right")
    for name in WAYS:
        written = [done[f"{name}/{number}"] for number in range(len(asked))]
        scores = [
            rouge_f(task.instances[0].output, one.text)
            for task, one in zip(asked, written, strict=True)
        ]
        kept = [number for number, one in enumerate(written) if keeps(one)]
        words = [len(written[number].text.split()) for number in kept]
        table.add_row(
            name,
            str(len(kept)),
            f"{fmean(words):.1f}",
            f"{median(words):.0f}",
            f"{100 * fmean(scores[number] for number in kept):.1f}",
            f"{100 * fmean(scores):.1f}",
        )
    Console().print(table)


def keeps(one: Completion) -> bool:
    """Whether the rules on truncation, emptiness and repetition would keep an output."""
    return one.finish_reason == "stop" and bool(one.text.strip()) and repetition(one.text) <= 0.2


if __name__ == "__main__":
    main()
