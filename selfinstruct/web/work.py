"""The work that the service starts as jobs: generate, resume, complete, judge again.

A request names models and texts, never paths. Seed tasks come as text, and are written into the
job's own folder with the configuration that the command reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.config.values import build_config, nested
from selfinstruct.generate.complete import pending
from selfinstruct.inputs.read_data import read_source
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.inputs.seed_rows import seeds_of
from selfinstruct.inputs.sources import given_text
from selfinstruct.models import CATALOGUE
from selfinstruct.prompts.language import read_language
from selfinstruct.store import Run
from selfinstruct.verdicts.whatif import Thresholds, config_with
from selfinstruct.web.jobs import Job, Jobs
from selfinstruct.web.root import new_run_path

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONFIG = "config.yaml"


@dataclass(frozen=True, slots=True)
class NewRun:
    """The settings of a new run; None keeps the default. `seeds` is a text.

    `seeds` has seed tasks as JSON in any known format, or one instruction per line.
    """

    name: str
    model: str = "bundled"
    target: int | None = None
    seeds: str | None = None
    language: str | None = None
    domain: str | None = None
    system: str | None = None
    dtype: str | None = None
    prompting: str | None = None
    seed: int | None = None
    rouge: float | None = None
    quantile: float | None = None
    min_logprob: float | None = None
    min_yield: float | None = None
    max_rounds: int | None = None
    max_tokens: int | None = None
    per_round: int | None = None


_KEYS = {
    "target": "stop.target",
    "min_yield": "stop.min_yield",
    "max_rounds": "stop.max_rounds",
    "max_tokens": "stop.max_tokens",
    "language": "language",
    "domain": "propose.domain",
    "per_round": "propose.per_round",
    "system": "model.system",
    "dtype": "model.dtype",
    "prompting": "model.prompting",
    "seed": "seed",
    "rouge": "novelty.threshold",
    "quantile": "likelihood.quantile",
    "min_logprob": "likelihood.min_logprob",
}


def known_models(root: Path, endpoints: Sequence[str] = ()) -> list[str]:
    """Return the models that can write a run: served ones, the catalogue's, folders in the root."""
    trained = sorted(
        path.name
        for path in (root.iterdir() if root.is_dir() else ())
        if _is_model_folder(root, path.name)
    )
    return [*endpoints, *CATALOGUE, *trained]


def start_run(jobs: Jobs, root: Path, new: NewRun, endpoints: Sequence[str] = ()) -> Job:
    """Start a new run.

    Args:
        jobs: gets the job.
        root: the folder of runs.
        new: the settings.
        endpoints: the addresses of served models that it may name.

    Raises:
        ConfigError: a value cannot be used; nothing was started.
    """
    out = new_run_path(root, new.name)
    asked = asdict(new)
    dotted = {key: asked[name] for name, key in _KEYS.items() if asked[name] is not None}
    dotted["model.name"] = _model(root, new.model, endpoints)
    values = nested(dotted)
    build_config(values, "request")
    if new.language is not None:
        read_language(new.language)
    files: dict[str, str] = {}
    if new.seeds and new.seeds.strip():
        name = "seeds.jsonl" if new.seeds.lstrip().startswith(("{", "[")) else "seeds.txt"
        seeds_of(read_source(given_text(new.seeds, name)))
        files[name] = new.seeds
    return _generate(jobs, out, values, files)


def resume_run(jobs: Jobs, run: Run, stopping: Mapping[str, int | float | None]) -> Job:
    """Continue a run, with other stop rules if given.

    Args:
        jobs: gets the job.
        run: the run.
        stopping: `target`, `min_yield`, `max_rounds`, `max_tokens`; None leaves one as it is.

    Raises:
        ConfigError: a value cannot be used.
    """
    changed = {key: value for key, value in stopping.items() if value is not None}
    values = nested({f"stop.{key}": value for key, value in changed.items()})
    build_config(values, "request")
    return _generate(jobs, run.path, values, {})


def complete_run(jobs: Jobs, run: Run) -> Job:
    """Write the missing instances of a run's instructions.

    Raises:
        ConfigError: none is missing.
    """
    if not pending(run):
        raise ConfigError(f"run {run.name!r}: no instruction waits for its instances")
    arguments = ["complete", _path(run.path)]
    return jobs.start("complete", run.name, lambda _: arguments, loads_model=True)


def save_what_if(jobs: Jobs, root: Path, run: Run, thresholds: Thresholds, name: str) -> Job:
    """Write the verdicts of other thresholds as a new run.

    Raises:
        ConfigError: a threshold is out of range, or the name cannot be used.
    """
    out = new_run_path(root, name)
    config_with(stored_config(run), thresholds)
    chosen = {key: value for key, value in asdict(thresholds).items() if value is not None}
    options = [f"--{key.replace('_', '-')}={value}" for key, value in chosen.items()]
    arguments = ["audit", "whatif", _path(run.path), *options, f"--out={_path(out)}"]
    return jobs.start("what-if", name, lambda _: arguments, loads_model=False)


def _generate(jobs: Jobs, out: Path, values: Mapping[str, Any], seeds: Mapping[str, str]) -> Job:
    config = yaml.safe_dump(dict(values), allow_unicode=True)

    def arguments(folder: Path) -> list[str]:
        seed_options = [f"--seeds={folder / name}" for name in seeds]
        return [
            "generate",
            f"--out={_path(out)}",
            f"--config={folder / _CONFIG}",
            *seed_options,
            "--resume",
        ]

    files = {**seeds, _CONFIG: config}
    return jobs.start("generate", out.name, arguments, loads_model=True, files=files)


def _path(path: Path) -> str:
    """Return a path as an argument: absolute, so that it is never read as an option."""
    return str(path.absolute())


def _model(root: Path, name: str, endpoints: Sequence[str]) -> str:
    """Return a model as the command line takes it.

    Raises:
        ConfigError: it is not one of the endpoints, in the catalogue, in the root, or a hub name.
    """
    if name in CATALOGUE or name in endpoints:
        return name
    if _is_model_folder(root, name):
        return _path(root / name)
    if _HUB_NAME.fullmatch(name) and not Path(name).exists():
        return name
    raise ConfigError(
        f"model {name[:80]!r}: give one of {', '.join(known_models(root, endpoints))}, or a "
        "name on the hub such as Qwen/Qwen3-0.6B-Base"
    )


def _is_model_folder(root: Path, name: str) -> bool:
    """Whether a folder directly in the root holds a model, such as one trained there."""
    if not name or name.startswith(".") or "/" in name or not name.isprintable():
        return False
    path = root / name
    return path.resolve().parent == root.resolve() and (path / "config.json").is_file()
