"""Which label a model opens the instances of a classification task with, by version of the rules.

    python scripts/study_labels.py --model MODEL [--tasks FILE]

Asks label first for the yes/no and true/false tasks of `tests/data/classification.jsonl`, three
times each, and counts the first label of each answer. Version 4 turns the labels of half of the
prompts' examples round.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.records import Completion
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.config.values import build_config
from selfinstruct.engines.base import ask_all
from selfinstruct.engines.registry import build_engine
from selfinstruct.filters.questions import stands_alone
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.inputs.run_inputs import parse_inputs
from selfinstruct.inputs.seeds import read_seed_bytes, shipped_seeds
from selfinstruct.models import resolve_model
from selfinstruct.prompts import load_prompts
from selfinstruct.verdicts.candidates import read_instances

TASKS = Path(__file__).parents[1] / "tests/data/classification.jsonl"
TIMES = 3
FIRST = ("yes", "true")
SECOND = ("no", "false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--tasks", type=Path, default=TASKS)
    parser.add_argument("--mode", choices=("base", "chat"), default="base")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.tasks.read_text(encoding="utf-8").splitlines()]
    asked = [row["instruction"] for row in rows if row["kind"] in ("yesno", "truefalse")]
    tasks = [task for task in asked if not stands_alone(task)]
    inputs = parse_inputs({"seeds.jsonl": read_seed_bytes(shipped_seeds())}, load_prompts())
    model = resolve_model(options.model, lambda *_: None)
    engine = build_engine(
        model, ModelConfig.model_validate({"name": options.model}), EngineConfig()
    )
    engine.start(2048)
    modes = dict.fromkeys(("propose", "classify", "instances"), options.mode)
    for version in (3, 4):
        sampling = {"max_tokens": 60}
        config = build_config(
            {"rules_version": version, "instances": {"sampling": sampling}}, "study"
        )
        builder = RequestBuilder(config, inputs, engine, modes)
        requests = [
            builder.instances(
                ids.instruction(ids.proposal(time, number), 0), task, is_classification=True
            )
            for time in range(TIMES)
            for number, task in enumerate(tasks)
        ]
        counts = Counter(
            opening(completion, version)
            for completion in ask_all(engine, requests, lambda *_: None)
        )
        print(f"{options.model}, {options.mode}, version {version}: {dict(counts)}", flush=True)
    engine.close()


def opening(completion: Completion, version: int) -> str:
    """Return `first` for yes or true, `second` for no or false, else `other`."""
    parsed = read_instances(completion, load_prompts().markers, version)
    label = parsed[0].output.strip(" .\"'").casefold() if parsed else ""
    return "first" if label in FIRST else "second" if label in SECOND else "other"


if __name__ == "__main__":
    main()
