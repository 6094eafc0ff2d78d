"""What a run needs to ask a model."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.store import Run
from selfinstruct.verdicts.rulebook import Rulebook


@dataclass(frozen=True)
class Session:
    """A run, and the engine that writes for it.

    run: the commits go there.
    config: the run's rules; model, engine and sampling are those of the model that writes.
    inputs: the run's seed tasks and templates.
    builder: writes the requests.
    engine: completes them; started and closed by the caller.
    """

    run: Run
    config: RunConfig
    inputs: Inputs
    builder: RequestBuilder
    engine: Engine

    @property
    def rulebook(self) -> Rulebook:
        """What the candidates of the run are checked by."""
        return Rulebook(self.config, self.inputs.prompts)
