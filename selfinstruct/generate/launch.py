"""Start a run or continue one: all checks come before a model is loaded.

The order matters: config, then seeds and templates, then the folder, then the model's files, then
the prompts against its context, and only then the engine. A mistake stops the program before
anything is written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, SelfInstructError
from selfinstruct.common.progress import (
    Advised,
    Calibrated,
    Calibrating,
    EngineLoading,
    EngineReady,
    Listener,
    ModelPreparing,
    Probed,
    Probing,
)
from selfinstruct.common.records import CalibrationScore, LocalModel, SeedTask
from selfinstruct.config.engine_options import ENGINE_OPTIONS
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.dataset.read import read_any
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.calibrate import calibrate
from selfinstruct.generate.loop import generate
from selfinstruct.generate.probe import Trial, probe
from selfinstruct.generate.prompting import known_modes, modes_text
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.run_config import (
    pinned,
    refuse_changes,
    resolve_config,
    run_meta,
    with_round_size,
)
from selfinstruct.generate.session import Session
from selfinstruct.generate.state import CommittedState, committed_state
from selfinstruct.inputs.languages import warn_of_other_language
from selfinstruct.inputs.run_inputs import Inputs, read_inputs
from selfinstruct.models import resolve_model
from selfinstruct.store import Run, create_run, open_run, run_exists, run_lock
from selfinstruct.store.commits import count_commits
from selfinstruct.store.open_rounds import drop_committed
from selfinstruct.verdicts.advice import advice_on_seeds
from selfinstruct.verdicts.pool import near_duplicates
from selfinstruct.verdicts.rulebook import Rulebook

log = logging.getLogger(__name__)

KERNEL_THREAD = "novelty-kernels"  # cli.main looks for this name


def launch(
    out: Path,
    values: Mapping[str, Any],
    *,
    resume: bool,
    make_engine: EngineFactory,
    listen: Listener,
    source: str = "config",
) -> tuple[Run, str]:
    """Generate into `out` until a stop rule holds; return the run and the stop reason.

    Args:
        out: the run's folder.
        values: configuration values that the user gave, nested.
        resume: continue the run in `out`; start one if there is none.
        make_engine: builds the engine without loading its model.
        listen: called with every event.
        source: where the values come from, for messages.

    Raises:
        ConfigError: bad input; nothing was written.
        EngineError: the engine failed; committed rounds are safe.
        WriteError: the disk refuses; committed rounds are safe.
        StoreError: the run is damaged.
    """
    existing = open_run(out) if run_exists(out) else None
    if existing is not None and not resume:
        raise ConfigError(
            f"{out}: is a run already; --resume continues it, another --out starts a new run"
        )
    if existing is not None and not existing.has_model:
        raise ConfigError(
            f"{out}: was imported, so it has no model; generate a run into another --out, and "
            f"join the two: selfinstruct merge GENERATED {out} --out MERGED"
        )
    config = resolve_config(values, existing, source)
    inputs = read_inputs(config, values, existing, read_any)
    if existing is None:
        warn_of_other_language(inputs.seeds, config.language)
    if existing is not None:
        refuse_changes(existing, config, inputs)
    with run_lock(out):
        return _locked_launch(out, existing, config, inputs, make_engine, listen)


def _clean_up(run: Run) -> None:
    """Check a run, and finish what a killed process left of its last commit."""
    run.discard_torn()
    run.verify()
    count_commits(run)
    drop_committed(run.path, len(run.rounds()))


def _locked_launch(
    out: Path,
    run: Run | None,
    config: RunConfig,
    inputs: Inputs,
    make_engine: EngineFactory,
    listen: Listener,
) -> tuple[Run, str]:
    """Generate with a checked config, while the folder is locked; `run` is None for a new run."""
    if run is None and run_exists(out):
        raise ConfigError(f"{out}: another process has just made this run; use --resume")
    state = None
    if run is not None:
        _clean_up(run)
        state = committed_state(run, config, inputs.first_pool)
        reason = state.stop_reason(config.stop)
        if reason is not None:
            _write_stopped(run, reason, state, config)
            return run, reason
    if run is None:
        for advice in advice_on_seeds(inputs.seeds, Rulebook(config, inputs.prompts)):
            listen(Advised(str(advice)))
    model = _model_of(out, run, config, listen)
    engine = make_engine(model, config.model, config.engine)
    config = with_round_size(config, engine.at_once)
    modes = known_modes(model, engine, config, run)
    trial = Trial(config, inputs, engine)
    needed = trial.context() if modes is None else trial.builder(modes).check_context()
    context_length = config.engine.context_length or needed
    probed = None
    with closing(engine):
        started = time.perf_counter()
        listen(EngineLoading(model.name, ENGINE_OPTIONS[config.engine.name].title))
        engine.start(context_length)
        prompting = "to be probed" if modes is None else modes_text(modes)
        settings = {**engine.settings(), "prompting": prompting}
        listen(EngineReady(settings, time.perf_counter() - started))
        _warn_of_missing_capabilities(engine, config)
        if modes is None:
            probed = _probe(trial, model, listen)
            modes = dict(probed.modes)
        builder = trial.builder(modes)
        if run is None:
            config = pinned(config, settings, context_length)
            scores = _calibrate(inputs, builder, engine, model, config, listen)
            meta = run_meta(config, model, modes, inputs)
            if probed is not None:
                meta["model"]["probe"] = [asdict(row) for row in probed.rows]
            run = create_run(out, meta, inputs.as_stored(), scores)
        else:
            run = run.with_config(config.model_dump(mode="json"))
        if state is None:
            state = committed_state(run, config, inputs.first_pool)
        session = Session(run, config, inputs, builder, engine)
        with _novelty_made_ready(inputs.seeds, warn=not state.totals):
            reason = _generate(session, state, listen)
    _write_stopped(run, reason, state, config)
    return run, reason


def _model_of(out: Path, run: Run | None, config: RunConfig, listen: Listener) -> LocalModel:
    """Return the model that the config names; a run goes on with its own."""
    model = resolve_model(
        config.model.name, lambda *step: listen(ModelPreparing(*step)), config.engine.base_url
    )
    if run is not None and model.digest != run.meta["model"]["digest"]:
        raise ConfigError(
            f"{out}: the model {model.name!r} is not the one that this run was made with "
            f"({'its server tells otherwise' if model.endpoint else 'its files differ'}); "
            "restore it, or start another run"
        )
    return model


def _probe(trial: Trial, model: LocalModel, listen: Listener) -> Probed:
    """Find the prompting that suits the model, and show why."""
    probed = probe(
        trial,
        scores_depend_on(trial.config, model),
        lambda returned, requests: listen(Probing(returned, requests)),
    )
    listen(probed)
    return probed


def _calibrate(
    inputs: Inputs,
    builder: RequestBuilder,
    engine: Engine,
    model: LocalModel,
    config: RunConfig,
    listen: Listener,
) -> list[CalibrationScore]:
    """Score seed tasks, unless the config does not use them as a guard."""
    if not config.likelihood.seed_bound:
        return []
    calibration = calibrate(
        inputs.seeds,
        builder,
        engine,
        config.propose.in_context,
        scores_depend_on(config, model),
        lambda returned, requests: listen(Calibrating(returned, requests)),
    )
    if calibration.scores:
        listen(Calibrated(len(calibration.scores), calibration.seconds, calibration.cached))
    return calibration.scores


def scores_depend_on(config: RunConfig, model: LocalModel) -> dict[str, Any]:
    """Return what a text's score depends on, besides its prompt and its tokens."""
    values = semantic_values(config)
    engine = {key: value for key, value in values.items() if key.startswith("engine.")}
    return {"model": model.digest, "dtype": config.model.dtype, **engine}


def _warn_of_missing_capabilities(engine: Engine, config: RunConfig) -> None:
    """Warn of what the run will lack, since its engine cannot return it."""
    can = engine.capabilities
    if not can.logprobs and not can.score:
        log.warning(
            "this engine gives no log-probabilities: mean_logprob will be NaN, and the "
            "likelihood filter rejects nothing"
        )
    elif not can.logprobs:
        log.warning("this engine writes without log-probabilities: each text is scored afterwards")
    if can.logprobs and not can.score and config.likelihood.seed_bound:
        log.warning(
            "this engine cannot score given text: seed tasks cannot guard against broken text"
        )
    if config.likelihood.gain and not can.score:
        log.warning("this engine cannot score given text: conditional_gain will be NaN")
    if not engine.capabilities.seeded:
        log.warning("this engine samples without seeds: a run cannot be repeated exactly")


def _write_stopped(run: Run, reason: str, state: CommittedState, config: RunConfig) -> None:
    target = config.stop.target
    failed = {"failed_requests": state.failed} if state.failed else {}
    run.write_status(
        "stopped", reason=reason, tasks=state.tasks, target=target, rounds=state.rounds, **failed
    )
    if state.failed:
        log.warning(
            "%d requests of the run failed for good; `selfinstruct complete %s` asks again for the "
            "instances that are missing",
            state.failed,
            run.path,
        )


def _generate(session: Session, state: CommittedState, listen: Listener) -> str:
    """Run the loop; an error that ends it early is written to status.json and raised again."""
    run = session.run

    def write(status: str, **details: Any) -> None:
        standing = {"tasks": state.tasks, "target": session.config.stop.target}
        run.write_status(status, **details, **standing, rounds=state.rounds)

    write("running")
    try:
        return generate(session, state, listen)
    except KeyboardInterrupt:
        write("stopped", reason="interrupted")
        raise
    except BaseException as error:
        expected = isinstance(error, SelfInstructError)
        write("failed", reason=str(error) if expected else repr(error))
        raise


@contextmanager
def _novelty_made_ready(seeds: list[SeedTask], *, warn: bool) -> Iterator[None]:
    """Compile the novelty filter by using it on the seeds, while the engine proposes.

    This must not happen before the engine is loaded: vLLM 0.32 looks for kernels in every loaded
    module, and fails on llvmlite's lazy library ("no attribute 'get'").
    """
    first_use = threading.Thread(
        target=_warn_of_near_duplicates,
        args=(seeds if warn else seeds[:2],),
        name=KERNEL_THREAD,
        daemon=True,
    )
    first_use.start()
    yield
    first_use.join()  # not where the loop fails or is interrupted: compiling takes seconds


def _warn_of_near_duplicates(seeds: list[SeedTask]) -> None:
    """Warn of seeds that are close to each other; they lower the yield, and may be intended."""
    for first, second, score in near_duplicates(seeds):
        log.warning(
            "seeds %r and %r are near-duplicates (ROUGE-L %.2f); consider dropping one",
            first.id,
            second.id,
            score,
        )
