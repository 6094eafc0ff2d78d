"""Distillation: a student learns its teacher's next words, by TRL's DistillationTrainer, watched.

Minimised is KL(teacher ‖ student) over the teacher's answers, or KL(student ‖ teacher) over the
student's own (Hinton et al. 2015, arXiv:1503.02531; Agarwal et al. 2023, arXiv:2306.13649). The
teacher is another model, or the student before training that reads a prompt first (context
distillation, Askell et al. 2021, arXiv:2112.00861): docs/distill.md has the formulas.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct.common.records import LocalModel
from selfinstruct.models.endpoint import require_folder
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.data.lessons import Lengths, Lesson, compared_lessons, encoded_lessons
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.prompts import PromptSplit
from selfinstruct.train.fitting import machine_for
from selfinstruct.train.health.distill_page import distill_page
from selfinstruct.train.health.distill_verdict import (
    DistillHealth,
    DistillPoint,
    distill_health_of,
)
from selfinstruct.train.model_card import data_names
from selfinstruct.train.network import Loading, load_network, load_tokenizer
from selfinstruct.train.recipe import Card, Examples, Job, Recipe, Source, Training
from selfinstruct.train.recipes.distill_settings import (
    DistillSettings,
    check_sampling,
    distill_arguments,
    settled,
)
from selfinstruct.train.recipes.dpo import HEALTH, PAGE
from selfinstruct.train.saving import plain


@dataclass(frozen=True)
class DistillData:
    """Prompts to answer, who teaches, and what the teacher reads before each prompt."""

    prompts: PromptSplit
    teacher: LocalModel
    system: str = ""


@dataclass(frozen=True)
class DistillResult:
    """The result, stored as training.json in the model's folder; its health is in health.json.

    `system` is what the teacher read before each prompt; empty for nothing.
    """

    kl: str
    teacher: str
    system: str
    train_prompts: int
    held_out_prompts: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    history: list[DistillPoint]
    health: DistillHealth
    sources: Sequence[MixedPart] = ()


def _encode(data: DistillData, tokenizer: Any, settings: DistillSettings) -> Examples:
    require_folder(data.teacher)
    train, held, dropped = encoded_lessons(
        data.prompts,
        data.system,
        (tokenizer, load_tokenizer(data.teacher)),
        Lengths(settings.max_length, settings.answer_tokens),
        settings.eos_token,
    )
    rows: dict[str, list[Any]] = {
        "prompts to train on": compared_lessons(train),
        "held-out prompts": compared_lessons(held),
        "teacher": [data.teacher.digest],
    }
    return Examples(train, held, dict(sorted(dropped.items())), rows)


def _dataset(rows: Sequence[Lesson]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {"prompt": row.prompt.text, "prompt_ids": row.ids, "teacher_ids": row.teacher_ids}
            for row in rows
        ]
    )


def _classes() -> tuple[Any, Any]:
    with warnings.catch_warnings():  # of a vLLM that TRL does not know, which is not used here
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
        from trl import DistillationConfig

        from selfinstruct.train.recipes.distill_trainer import Trainer

    return DistillationConfig, Trainer


def _trainer_arguments(job: Job[DistillData, DistillSettings], _: Any) -> dict[str, Any]:
    """Load the teacher, in 16 bits where that pays: it is never trained."""
    import torch

    here = machine_for(job, job.settings.options or {})
    dtype = torch.bfloat16 if here.bfloat16 else torch.float32
    teacher, _adapter = load_network(job.data.teacher, Loading("full", options={"dtype": dtype}))
    return {"teacher_model": teacher.eval(), "from_teacher": job.settings.kl == "forward"}


def _prepare(training: Training[DistillData, DistillSettings]) -> None:
    """Watch the student from now on."""
    from selfinstruct.train.health.distill_watch import DistillWatch, Watched

    job, trainer, examples = training.job, training.trainer, training.examples
    settings = job.settings
    rows = (examples.held_out or examples.train)[: settings.fresh]
    watched = Watched(rows, settings.answer_tokens, settings.seed, settings.kl)
    trainer.watch = DistillWatch(trainer, watched, job.out / CHECKPOINTS)
    trainer.add_callback(trainer.watch)


def _result(training: Training[DistillData, DistillSettings]) -> DistillResult:
    examples, data, watch = training.examples, training.job.data, training.trainer.watch
    held = len(examples.held_out)
    return DistillResult(
        kl=training.job.settings.kl,
        teacher=data.teacher.name,
        system=data.system,
        train_prompts=len(examples.train),
        held_out_prompts=held,
        dropped=examples.dropped,
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        history=watch.history,
        health=distill_health_of(watch.history, watch.taught, held, watch.saved_step()),
        sources=data.prompts.sources,
    )


def _report(result: DistillResult) -> dict[str, Any]:
    return {**reported(result), "objective": "distill"}


def _files(result: DistillResult) -> dict[str, str]:
    health = plain(asdict(result.health))
    return {HEALTH: json.dumps(health, indent=2) + "\n", PAGE: distill_page(result)}


def _card(source: Source, _: DistillSettings, result: DistillResult) -> Card:
    health = result.health
    gain = health.gain
    return Card(
        title="Distilled from a teacher" + (" with a prompt" if result.system else ""),
        tag="distillation",
        task="text-generation",
        trained_on=f"answers to the prompts of {data_names(source)}",
        data={
            "mixture": shown(result.sources),
            **source.choices,
            "prompts": f"{result.train_prompts:,}, held out {result.held_out_prompts:,}",
            "dropped": ", ".join(f"{count:,} {why}" for why, count in result.dropped.items()),
            "teacher": f"`{result.teacher}`",
            "what the teacher reads first": " ".join(result.system.split()),
        },
        outcome={
            "divergence": f"{result.kl} KL",
            "log-likelihood of the teacher's answers, nats per token": (
                f"{health.likelihood_before:.3f} before, {health.likelihood:.3f} after "
                f"({gain.mean:+.3f}, {gain.low:+.3f} to {gain.high:+.3f}); under the teacher "
                f"{health.teacher:.3f}"
            ),
            "health": "; ".join(warned.found for warned in health.warnings)
            or "nothing is wrong that the report would show",
        },
    )


def _watched(_: DistillSettings, examples: Examples) -> int:
    """Return the positions of answers, and their prompts, that are scored at once."""
    from selfinstruct.train.health.fresh import SCORED

    rows: Sequence[Lesson] = examples.held_out or examples.train
    return min(SCORED, len(rows)) * max(max(row.sequences()) for row in rows)


def _teacher(data: DistillData) -> LocalModel:
    return data.teacher


DISTILL: Recipe[DistillData, DistillSettings, DistillResult] = Recipe(
    name="distill",
    unit="nats per token",
    encode=_encode,
    dataset=_dataset,
    sequences=Lesson.sequences,
    arguments=distill_arguments,
    settled=settled,
    reserved=frozenset(
        {
            *("output_dir", "seed", "beta", "max_completion_length", "max_steps"),
            *("num_train_epochs", "per_device_eval_batch_size", "remove_unused_columns"),
            *("trust_remote_code", "teacher_model_name_or_path", "teacher_model_revision"),
            "teacher_model_init_kwargs",
        }
    ),
    classes=_classes,
    check=check_sampling,
    trainer_arguments=_trainer_arguments,
    prepare=_prepare,
    result=_result,
    report=_report,
    files=_files,
    card=_card,
    beside=_teacher,
    outside_autocast=True,
    watched=_watched,
)
