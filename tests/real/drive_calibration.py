"""Scores the shipped seed tasks by the bundled model; prints them beside those that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfinstruct.config.schema import RunConfig
from selfinstruct.dataset.read import read_any
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import build_engine
from selfinstruct.generate import calibrate
from selfinstruct.generate.launch import scores_depend_on
from selfinstruct.generate.probe import Trial
from selfinstruct.generate.prompting import known_modes
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.run_config import pinned, resolve_config
from selfinstruct.inputs.run_inputs import read_inputs
from selfinstruct.models import resolve_model
from selfinstruct.store import schema


def prepared(dtype: str) -> tuple[RunConfig, Any, Engine, RequestBuilder, Any]:
    """What `generate` has before it scores the seed tasks; the engine is not started."""
    values = {"model": {"dtype": dtype}}
    config = resolve_config(values, None, "config")
    inputs = read_inputs(config, values, None, read_any)
    model = resolve_model(config.model.name, lambda *_: None)
    engine = build_engine(model, config.model, config.engine)
    modes = known_modes(model, engine, config, None)
    assert modes is not None
    builder = Trial(config, inputs, engine).builder(modes)
    config = pinned(config, {"dtype": dtype}, builder.check_context())
    return config, inputs, engine, builder, scores_depend_on(config, model)


def main() -> None:
    shipped = calibrate.SHIPPED
    names = {}
    for dtype in ("bfloat16", "float32"):
        config, inputs, engine, builder, identity = prepared(dtype)
        requests = calibrate.calibration_requests(inputs.seeds, builder, config.propose.in_context)
        names[dtype] = calibrate.calibration_name(requests, engine, identity)
    calibrate.SHIPPED = Path("none")  # the last one, in float32, is scored now
    engine.start(config.engine.context_length or 0)
    made = calibrate.calibrate(
        inputs.seeds, builder, engine, config.propose.in_context, identity, lambda *_: None
    )
    engine.close()
    known = schema.read_calibration(shipped / names["float32"])
    print(
        json.dumps(
            {
                "names": sorted(names.values()),
                "shipped": sorted(path.name for path in shipped.iterdir()),
                "cached": made.cached,
                "made": [[s.kind, s.seed_id, s.num_tokens, s.mean_logprob] for s in made.scores],
                "known": [[s.kind, s.seed_id, s.num_tokens, s.mean_logprob] for s in known],
            }
        )
    )


if __name__ == "__main__":
    main()
