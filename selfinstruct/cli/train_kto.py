"""`selfinstruct train kto`: from answers that people liked or not to a better policy."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stdout
from selfinstruct.cli.data_options import mixed_pairs
from selfinstruct.cli.train import print_dropped, print_evaluation, print_trained, run_recipe
from selfinstruct.cli.training_options import (
    AdapterOnlyOption,
    Adapters,
    BetaOption,
    Common,
    HeldOutOption,
    ModelOption,
    OutOption,
    Reading,
    epochs_option,
    rate_option,
    shared_settings,
)

if TYPE_CHECKING:
    from selfinstruct.train.recipes.kto import KtoResult


def kto(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="DATA[@WEIGHT]",
            help="Answers, each marked good or bad; pairs are accepted too. May be repeated; @2 "
            "uses its answers twice per epoch.",
        ),
    ],
    model: ModelOption,
    out: OutOption,
    beta: BetaOption = 0.1,
    adapter_only: AdapterOnlyOption = False,
    epochs: Annotated[float | None, epochs_option("2")] = None,
    learning_rate: Annotated[float | None, rate_option("3e-4, with --full 5e-6")] = None,
    held_out: HeldOutOption = None,
    adapters: Adapters = Adapters(),
    common: Common = Common(),
    reading: Reading = Reading(),
) -> None:
    """Train a policy with KTO (Kahneman-Tversky optimisation), on answers marked good or bad.

    KTO needs no pairs: answers marked good or bad, such as thumbs up and down, are enough.

    Example:
        selfinstruct train kto --data thumbs.jsonl --model outputs/sft --out kto
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.labelled import mix_labelled, read_labelled
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.kto import KTO, KtoSettings

    kto_settings = KtoSettings(
        **shared_settings(common, adapters, epochs, learning_rate, adapter_only=adapter_only),
        merge=not adapter_only,
        beta=beta,
    )
    read = partial(read_labelled, reading=reading.rows())
    split, source = mixed_pairs(
        data, read, held_out, reading.validation_data, common.seed, mix=mix_labelled
    )
    check_settings(KTO, kto_settings)
    local = resolve_model(model, lambda *_: None)
    job = Job(split, local, out, kto_settings, common.resume, source)
    result = run_recipe(KTO, job, dry=common.dry_run)
    if result is not None:
        _print(result)
        if not adapter_only:
            print_evaluation(f"before={model}", f"kto={out}", out)


def _print(result: KtoResult) -> None:
    answers = f"{result.liked} liked and {result.disliked} disliked answers"
    print_trained(answers, result.tokens, result.steps, result.seconds)
    print_dropped(result.dropped)
    if result.rewards:
        _, liked, disliked = result.rewards[-1]
        stdout.print(
            f"implicit rewards of {result.held_out} held-out answers: {liked:+.2f} nats where "
            f"liked, {disliked:+.2f} where disliked",
            highlight=False,
            soft_wrap=True,
        )
