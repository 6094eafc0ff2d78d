"""The one way that a model is trained: set up, train, report, save."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfinstruct.common.memory import keep_freed_memory
from selfinstruct.models.endpoint import require_folder
from selfinstruct.train.arguments import check_settings, fit_here
from selfinstruct.train.checkpoints import (
    CHECKPOINTS,
    asked_for,
    begin,
    check_asked,
    check_out,
    nothing_left,
    refused,
    written,
)
from selfinstruct.train.fitting import LOADER
from selfinstruct.train.libraries import require_trl
from selfinstruct.train.model_card import card_text
from selfinstruct.train.network import Loading, load_network, load_tokenizer
from selfinstruct.train.recipe import DataT, Job, Recipe, ResultT, SettingsT, Training
from selfinstruct.train.saving import merge_kept, plain, save_model
from selfinstruct.train.trackers import logs_beside
from selfinstruct.train.watching import Listen, is_main_process

# Merging comes after the training, so a resumed training may choose otherwise. The others show
# in the rows as tokens, which are compared.
_NOT_COMPARED = frozenset({"merge", "last_turn_only", "eos_token"})


def train(
    recipe: Recipe[DataT, SettingsT, ResultT], job: Job[DataT, SettingsT], listen: Listen
) -> ResultT:
    """Train a model by a recipe, and save it into a folder that vLLM and transformers load.

    LoRA adapters are trained in float32 over weights in bfloat16, and merged in float32. With
    `full`, all weights stay in float32 under bfloat16 autocast. So no update is lost.

    Args:
        recipe: the way to train.
        job: what to train.
        listen: called with every logged step.

    Raises:
        ConfigError: data, model or settings cannot be used. Nothing was written.
        TrainError: the loss is no longer a number, or a checkpoint cannot be written.
    """
    require_folder(job.model)
    require_trl()
    keep_freed_memory()
    checkpoint = check_out(job.out, job.resume)
    with nothing_left(job.out):
        training = _set_up(recipe, job, listen, checkpoint)
        with written(job.out):
            recipe.prepare(training)
            training.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with merge_kept(training):
            result = recipe.result(training)
            if is_main_process():
                _save(recipe, training, result)
    return result


def _set_up(
    recipe: Recipe[DataT, SettingsT, ResultT],
    job: Job[DataT, SettingsT],
    listen: Listen,
    checkpoint: Path | None,
) -> Training[DataT, SettingsT]:
    """Check everything, load the model, make the trainer, and open the folder."""
    from transformers import EarlyStoppingCallback, set_seed

    from selfinstruct.train.reporter import Reporter

    settings, out = job.settings, job.out
    options = check_settings(recipe, settings)
    tokenizer = load_tokenizer(job.model)
    examples = recipe.encode(job.data, tokenizer, settings)
    fit = fit_here(recipe, job, examples, options)
    config_class, trainer_class = recipe.classes()
    with refused("TRL refuses its options"):
        config = config_class(**fit.arguments)
    # What is None was not asked for, as before there was such a setting.
    decisive = {
        key: value
        for key, value in asdict(settings).items()
        if key not in _NOT_COMPARED and value is not None
    }
    asked = asked_for(job.model, decisive, examples.compared)
    check_asked(out, asked, job.resume)
    set_seed(settings.seed)  # a new head has random weights
    with refused(f"{job.model.path}: cannot be loaded to be trained"):
        loading = Loading(
            method=settings.method,
            rank=settings.lora_r,
            adapter=settings.adapter,
            attention=fit.attention,
            bfloat16=fit.machine.bfloat16,
            options=options.get(LOADER),
        )
        network, adapter = load_network(job.model, loading, reward=recipe.scores)
    callbacks: list[Any] = []
    if config.load_best_model_at_end and settings.patience > 0:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    made = None if checkpoint else out / CHECKPOINTS
    with refused("TRL refuses its options", made=made), logs_beside(out):
        trainer = trainer_class(
            model=network,
            args=config,
            train_dataset=recipe.dataset(examples.train),
            eval_dataset=recipe.dataset(examples.held_out) if examples.held_out else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks,
            reporter=Reporter(listen, out / CHECKPOINTS, checkpoint),
            **recipe.trainer_arguments(job, tokenizer),
        )
    begin(out, asked, fit.course)
    return Training(job, examples, tokenizer, trainer, recipe.scores)


def _save(
    recipe: Recipe[DataT, SettingsT, ResultT],
    training: Training[DataT, SettingsT],
    result: ResultT,
) -> None:
    job = training.job
    files = dict(recipe.files(result))
    if job.source is not None:
        card = recipe.card(job.source, job.settings, result)
        files["README.md"] = card_text(card, training)
    report = plain(dict(recipe.report(result)))
    save_model(training.network, training.tokenizer, job.out, report, files)
