"""Which verdicts the candidates of a run would have with other thresholds.

The recorded candidates are checked again in their order, against a pool that grows as they pass. A
task can come back in because the one that it was too near to is now rejected. The proposals stay
those of the run. With other thresholds the loop would have grown another pool, and would have
proposed other tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.verdicts.changes import PENDING, Change, WhatIf
from selfinstruct.verdicts.rejudge import Derivation, Source, write_derived_run
from selfinstruct.verdicts.whatif_full import judge_all
from selfinstruct.verdicts.whatif_pool import UnknownRulesError
from selfinstruct.verdicts.whatif_touched import judge_touched

__all__ = ["PENDING", "Change", "Thresholds", "WhatIf", "config_with", "save_what_if", "what_if"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds to use instead; None leaves the run's own.

    rouge: ROUGE-L F-measure, in [0, 1].
    min_logprob: nats per token, for every kind.
    max_logprob: nats per token, for instructions and outputs.
    quantile: share of the first candidates of each kind; it replaces a `min_logprob` that the
        run was made with.
    """

    rouge: float | None = None
    min_logprob: float | None = None
    max_logprob: float | None = None
    quantile: float | None = None


def config_with(config: RunConfig, thresholds: Thresholds) -> RunConfig:
    """Return a run's config with other thresholds.

    Raises:
        ConfigError: one is out of range, or two contradict each other.
    """
    _check_ranges(thresholds)
    likelihood: dict[str, Any] = {}
    if thresholds.min_logprob is not None:
        likelihood["min_logprob"] = thresholds.min_logprob
    if thresholds.quantile is not None:
        likelihood |= {"quantile": thresholds.quantile, "min_logprob": None}
    if thresholds.max_logprob is not None:
        likelihood["max_logprob"] = thresholds.max_logprob
    values: dict[str, Any] = {"likelihood": likelihood}
    if thresholds.rouge is not None:
        values["novelty"] = {"threshold": thresholds.rouge}
    return build_config(overlay(config.model_dump(mode="json"), values), "what-if")


def _check_ranges(thresholds: Thresholds) -> None:
    rouge, quantile = thresholds.rouge, thresholds.quantile
    if thresholds.min_logprob is not None and quantile is not None:
        raise ConfigError(
            "--min-logprob and --quantile: each says what is too improbable; give one of them"
        )
    if rouge is not None and not 0 <= rouge <= 1:
        raise ConfigError(f"--rouge {rouge}: a ROUGE-L F-measure lies between 0 and 1")
    if quantile is not None and not 0 < quantile < 1:
        raise ConfigError(f"--quantile {quantile}: a share lies between 0 and 1")
    for name, value in (("min", thresholds.min_logprob), ("max", thresholds.max_logprob)):
        if value is not None and value > 0:
            raise ConfigError(f"--{name}-logprob {value}: a log-probability is at most 0")


def what_if(run: Run, thresholds: Thresholds, advance: Callable[[int], object] = id) -> WhatIf:
    """Check the candidates of a run again by other thresholds; nothing is written.

    Only the candidates that the thresholds touch are judged (whatif_again.py). The result is what
    judging all of them gives.

    Args:
        run: the run; its config and seeds are used.
        thresholds: the other thresholds.
        advance: called with the number of each round that is checked.

    Raises:
        ConfigError: a threshold is out of range.
        StoreError: the run is damaged.
    """
    recorded, inputs = stored_config(run), stored_inputs(run)
    config = config_with(recorded, thresholds)
    try:
        return judge_touched(run, config, recorded, inputs, advance)
    except UnknownRulesError as why:
        log.info("%s: every candidate is judged again (%s)", run.path, why)
    return judge_all(run, config, inputs, advance)


def save_what_if(
    run: Run, thresholds: Thresholds, out: Path, advance: Callable[[Path], object] = id
) -> Run:
    """Write the run that other thresholds give, as a run of its own.

    Newly accepted instructions without instances are `pending_instances` there.

    Raises:
        ConfigError: a threshold is out of range, or `out` is there already.
        StoreError: the run is damaged.
        WriteError: the disk refuses.
    """
    config, inputs = config_with(stored_config(run), thresholds), stored_inputs(run)
    derivation = Derivation([Source(run)], config, inputs, "judged_from", "judged_again")
    return write_derived_run(derivation, out, advance)
