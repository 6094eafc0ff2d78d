"""`selfinstruct train distill`: a student learns its teacher's next words, and is watched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import mixed_pairs
from selfinstruct.cli.help import default
from selfinstruct.cli.options import LOCAL_MODEL, TRAINING
from selfinstruct.cli.train import (
    print_dropped,
    print_evaluation,
    print_trained,
    print_warnings,
    run_recipe,
)
from selfinstruct.cli.training_options import (
    AdapterOnlyOption,
    Adapters,
    AnswerTokensOption,
    Common,
    FreshOption,
    HeldOutOption,
    ModelOption,
    OutOption,
    PromptsOption,
    Reading,
    StepsOption,
    rate_option,
    shared_settings,
)

if TYPE_CHECKING:
    from selfinstruct.train.health.distill_verdict import DistillHealth
    from selfinstruct.train.recipes.distill import DistillResult

TEACHER = "What is learnt"


class KlName(StrEnum):
    """The divergences."""

    FORWARD = "forward"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class DistillCommon(Common):
    """The options that every recipe has; of these, patience means something else here."""

    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=0,
            help="Stop after this many evaluations without a lower divergence, and save the best "
            "student; 0: never, and save the last.",
            rich_help_panel=TRAINING,
        ),
    ] = 0


def distill(
    data: PromptsOption,
    model: ModelOption,
    out: OutOption,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="MODEL",
            help=f"MODEL to learn from, with the same vocabulary: {LOCAL_MODEL}."
            + default("--model before training, if there is a --prompt"),
            rich_help_panel=TEACHER,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="FILE",
            help="Text that the teacher reads before each prompt, and the student does not; "
            "`hhh` (helpful, honest, harmless) and `values` are shipped." + default("none"),
            rich_help_panel=TEACHER,
        ),
    ] = None,
    kl: Annotated[
        KlName,
        typer.Option(
            "--kl",
            metavar="NAME",
            help="Divergence: forward covers all that the teacher writes, by its answers; reverse "
            "keeps to what the teacher is likely to write, by the student's own answers.",
            rich_help_panel=TEACHER,
        ),
    ] = KlName.FORWARD,
    steps: StepsOption = 100,
    adapter_only: AdapterOnlyOption = False,
    learning_rate: Annotated[float | None, rate_option("2e-4, with --full 1e-5")] = None,
    answer_tokens: AnswerTokensOption = 128,
    fresh: FreshOption = 64,
    held_out: HeldOutOption = None,
    adapters: Adapters = Adapters(),
    common: DistillCommon = DistillCommon(),
    reading: Reading = Reading(),
) -> None:
    """Train a student to answer as its teacher does: another model, or itself with a prompt.

    The student learns the teacher's probabilities of every next token, not only its answers.
    Held-out prompts show how near it comes; health.html has the curves.

    Example:
        selfinstruct train distill --data run --model sft --prompt hhh --out hhh-sft
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.inputs.purposes import DISTILL as DISTILL_PROMPTS
    from selfinstruct.models import resolve_model
    from selfinstruct.models.endpoint import require_folder
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.lessons import read_prompt, require_one_vocabulary
    from selfinstruct.train.data.prompts import mix_prompts, read_rl_prompts
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.distill import DISTILL, DistillData
    from selfinstruct.train.recipes.distill_settings import DistillSettings
    from selfinstruct.train.recipes.dpo import PAGE

    if teacher is None and prompt is None:
        raise ConfigError(
            "--teacher: there is nothing to learn; give a teacher, or a --prompt for the model "
            "itself, such as --prompt hhh"
        )
    distill_settings = DistillSettings(
        **shared_settings(common, adapters, None, learning_rate, adapter_only=adapter_only),
        merge=not adapter_only,
        kl=str(kl),
        answer_tokens=answer_tokens,
        steps=steps,
        fresh=fresh,
    )
    check_settings(DISTILL, distill_settings)
    system = "" if prompt is None else read_prompt(prompt)
    read = partial(read_rl_prompts, reading=reading.rows(), purpose=DISTILL_PROMPTS)
    split, source = mixed_pairs(
        data, read, held_out, reading.validation_data, common.seed, mix=mix_prompts
    )
    student = resolve_model(model, lambda *_: None)
    taught_by = student if teacher is None else resolve_model(teacher, lambda *_: None)
    if teacher is not None:
        for one in (student, taught_by):
            require_folder(one)
        if not system and taught_by.digest == student.digest:
            raise ConfigError(
                f"--teacher {teacher}: is the student itself, which has nothing to learn from it; "
                "give another model, or a --prompt"
            )
        require_one_vocabulary(student, taught_by)
    lessons = DistillData(split, taught_by, system)
    job = Job(lessons, student, out, distill_settings, common.resume, source)
    result = run_recipe(DISTILL, job, dry=common.dry_run)
    if result is not None:
        _print(result)
        stderr.print(f"  {out / PAGE}", markup=False, highlight=False, soft_wrap=True)
        if not adapter_only:
            prompted = [] if prompt is None else ["--model", f"teacher={teacher or model}"]
            prompted += [] if prompt is None else ["--system", f"teacher={prompt}"]
            print_evaluation(f"before={model}", f"distilled={out}", out, prompted)


def _print(result: DistillResult) -> None:
    answers = f"answers to {result.train_prompts} prompts"
    print_trained(answers, result.tokens, result.steps, result.seconds)
    print_dropped(result.dropped)
    print_distill_health(result.health)


def print_distill_health(health: DistillHealth) -> None:
    """Print the numbers and the verdict."""
    from rich.table import Table

    title = f"the teacher's answers to {health.prompts} prompts, nats per token"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("before", "after", "change", "95 %", "teacher"):
        table.add_column(column, justify="right", no_wrap=True)
    likelihood = health.likelihood_before, health.likelihood
    teacher = f"{health.teacher:.3f}"
    for name, (before, after), change, known in (
        ("log-likelihood", likelihood, health.gain, teacher),
        ("forward KL", (health.forward_before, health.forward), health.forward_change, ""),
        ("reverse KL", (health.reverse_before, health.reverse), health.reverse_change, ""),
    ):
        ends = f"{change.low:+.3f} to {change.high:+.3f}"
        table.add_row(name, f"{before:.3f}", f"{after:.3f}", f"{change.mean:+.3f}", ends, known)
    tokens = health.tokens_before, health.tokens, health.tokens_teacher
    endless = health.endless_before, health.endless, health.endless_teacher
    for name, row in (("tokens", tokens), ("never stops, %", [100 * one for one in endless])):
        before, after, theirs = row
        table.add_row(
            name, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}", "", f"{theirs:.1f}"
        )
    stdout.print(table)
    print_warnings(health.warnings)
