"""The hand-off to lm-evaluation-harness: its tasks on our engine, or the command that runs it.

Of its package (`lm-eval` 0.4), `simple_evaluate`, `TaskManager` and `LM` are used, all documented.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import NAN, LocalModel
from selfinstruct.common.texts import read_text
from selfinstruct.engines.base import Engine
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.evaluate.kept import make_folder, plain

log = logging.getLogger(__name__)

FOLDER = "lm-eval"
_NAME = re.compile(r"^task:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HarnessTasks:
    """What lm-eval asks.

    Attributes:
        names: of its tasks and groups, or YAML files of tasks.
        chat: whether it renders prompts with the model's chat template.
        limit: only so many rows of each task, the first ones.
    """

    names: tuple[str, ...]
    chat: bool = False
    limit: int | None = None

    @property
    def files(self) -> list[Path]:
        """The YAML files among the names."""
        return [Path(name).absolute() for name in self.names if _is_file(name)]

    @property
    def known(self) -> list[str]:
        """The names under which lm-eval knows the tasks, once it has read the files' folders."""
        return [_task_of(Path(name)) if _is_file(name) else name for name in self.names]


@dataclass(frozen=True, slots=True)
class HarnessQuestion:
    """The tasks as one contestant is asked: with its examples and its system prompt."""

    tasks: HarnessTasks
    shots: int = 0
    system: str = ""


@dataclass(frozen=True)
class HarnessResults:
    """What lm-eval found.

    Attributes:
        means: its own figure of each metric, such as `hellaswag acc_norm`.
        values: of the same metrics by row, in the order of the rows, where it gives them.
        raw: its `results`, with standard errors.
        version: of lm-eval.
    """

    means: Mapping[str, float]
    values: Mapping[str, Sequence[float]]
    raw: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""


AskHarness = Callable[[Loaded, HarnessQuestion, Advance], HarnessResults]


@dataclass(frozen=True)
class Harness:
    """The tasks, and what has a model asked in a process of its own (`run_harness`)."""

    tasks: HarnessTasks
    ask: AskHarness


def is_installed() -> bool:
    """Whether lm-eval is installed."""
    return find_spec("lm_eval") is not None


def harness_tasks(text: str, *, chat: bool, limit: int | None) -> HarnessTasks:
    """Return the tasks that `--lm-eval` names.

    Raises:
        ConfigError: it names none, or a YAML file that is none of a task.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError("--lm-eval: names no task; give names such as hellaswag,arc_easy")
    for name in names:
        if _is_file(name):
            _task_of(Path(name))
    return HarnessTasks(names, chat, limit)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _task_of(path: Path) -> str:
    match = _NAME.search(read_text(path, "--lm-eval"))
    if match is None:
        raise ConfigError(f"{path}: has no line `task: NAME`; give the YAML file of a task")
    return match[1]


def harness_command(
    model: LocalModel, question: HarnessQuestion, out: Path, *, dtype: str, kind: str
) -> list[str]:
    """Return the command that asks a model by lm-eval's own backends.

    Args:
        model: a folder, or servers; of several servers it asks the first.
        question: what is asked.
        out: folder for its results.
        dtype: of the weights of a local model.
        kind: the engine that a local model would have; `vllm`, or else transformers is used.
    """
    command = ["lm_eval"]
    if model.endpoint is not None:
        url = f"{model.endpoint.urls[0]}/completions"
        arguments = f"model={model.endpoint.served},base_url={url},num_concurrent=8"
        command += ["--model", "local-completions", "--model_args", arguments]
    else:
        backend = "vllm" if kind == "vllm" else "hf"
        arguments = f"pretrained={model.path},dtype={dtype}"
        command += ["--model", backend, "--model_args", arguments, "--batch_size", "auto"]
    command += ["--tasks", ",".join(question.tasks.known)]
    if question.tasks.files:
        command += ["--include_path", str(question.tasks.files[0].parent)]
    if question.shots:
        command += ["--num_fewshot", str(question.shots)]
    if question.system:
        command += ["--system_instruction", question.system]
    if question.tasks.chat:
        command.append("--apply_chat_template")
    if question.tasks.limit is not None:
        command += ["--limit", str(question.tasks.limit)]
    return [*command, "--output_path", str(out), "--log_samples"]


def run_harness(engine: Engine, *, question: HarnessQuestion, advance: Advance) -> HarnessResults:
    """Have lm-eval ask an engine; this starts the engine and leaves it running.

    Args:
        engine: not started yet, and one that can score.
        question: what is asked. lm-eval reads the data of its tasks from the hub.
        advance: told how many requests have come back, of how many of the same kind.

    Raises:
        ConfigError: there is no such task, its data cannot be had, or the engine cannot score.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    from selfinstruct.evaluate.harness_model import harness_model

    if not engine.capabilities.score:
        raise ConfigError(
            "--lm-eval needs the log-likelihood of given texts, and the server does not return it; "
            "give a local model, or a vLLM server"
        )
    tasks = question.tasks
    folders = sorted({str(path.parent) for path in tasks.files})
    manager = TaskManager(include_path=folders or None)
    unknown = [name for name in tasks.known if not manager.match_tasks([name])]
    if unknown:
        raise ConfigError(
            f"--lm-eval {','.join(unknown)}: lm-eval has no such task; `lm-eval ls tasks` lists all"
        )
    try:
        found = lm_eval.simple_evaluate(
            model=harness_model(engine, advance),
            tasks=tasks.known,
            num_fewshot=question.shots or None,
            system_instruction=question.system or None,
            apply_chat_template=tasks.chat,
            limit=tasks.limit,
            task_manager=manager,
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ConfigError(
            f"--lm-eval {','.join(tasks.names)}: lm-eval cannot ask this ({why(error)}); the data "
            "of its tasks come from the hub, so check the network and the task's name"
        ) from error
    return _results(found, lm_eval.__version__)


def _results(found: Mapping[str, Any], version: str) -> HarnessResults:
    means = {}
    raw: dict[str, dict[str, Any]] = {}
    for task, own in found["results"].items():
        raw[task] = {key: value for key, value in own.items() if _is_number(value)}
        for key, value in raw[task].items():
            metric, _, filtered = key.partition(",")
            if not metric.endswith("_stderr") and metric not in ("sample_len", "alias"):
                means[_name(task, metric, filtered)] = float(value)
    return HarnessResults(means, _by_row(found.get("samples", {}), means), raw, version)


def _by_row(samples: Mapping[str, Any], means: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the metrics that are means of numbers by row, in the order of the rows."""
    values: dict[str, dict[int, float]] = {}
    for task, rows in samples.items():
        for row in rows:
            for metric in row.get("metrics", ()):
                name = _name(task, metric, row.get("filter", "none"))
                if name in means and _is_number(row.get(metric)):
                    values.setdefault(name, {})[row["doc_id"]] = float(row[metric])
    ordered = {name: [own[id] for id in sorted(own)] for name, own in values.items()}
    return {
        name: own
        for name, own in ordered.items()
        if math.isclose(sum(own) / len(own), means[name], rel_tol=1e-6, abs_tol=1e-9)
    }


def _name(task: str, metric: str, filtered: str) -> str:
    return f"{task} {metric}" + ("" if filtered in ("", "none") else f" ({filtered})")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def harness_results(
    harness: Harness,
    loaded: Loaded,
    digest: str,
    question: HarnessQuestion,
    path: Path,
    advance: Advance,
) -> HarnessResults:
    """Return what lm-eval finds of a model; what is kept in `path` for the same question is read.

    Args:
        harness: has the model asked.
        loaded: the model.
        digest: of its files.
        question: what is asked.
        path: JSON.
        advance: told of progress.

    Raises:
        EngineError: the engine failed.
    """
    key = fingerprint({**asdict(question), "digest": digest, "dtype": loaded.dtype})
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key:
            values = {name: list(map(_known, own)) for name, own in kept["values"].items()}
            return HarnessResults(kept["means"], values, kept["results"], kept["lm_eval"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    found = harness.ask(loaded, question, advance)
    make_folder(path.parent)
    content = {
        "key": key,
        "lm_eval": found.version,
        "results": found.raw,
        "means": dict(found.means),
        "values": {name: list(map(plain, own)) for name, own in found.values.items()},
    }
    try:
        atomic.write_json(path, content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); check --out") from error
    return found


def _known(value: float | None) -> float:
    return NAN if value is None else value
