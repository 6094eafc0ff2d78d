"""The configuration of a run: every number is a field, with its default and its source.

Each field has one kind. *semantic*: decides what is generated or accepted; a change is refused on
resume. *stopping*: decides when to stop; free, and a higher target grows the run. *throughput*:
decides the speed; free. *input*: a path; its content is compared instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationInfo, create_model, field_validator, model_validator

from selfinstruct.common.fields import NonEmpty, Section, field, semantic, stopping, throughput
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.engine_options import (
    DEFAULT_ENGINE,
    ENGINE_OPTIONS,
    EVERY_ENGINE,
    no_engine,
)
from selfinstruct.config.propose import PassagesConfig, ProposeConfig
from selfinstruct.config.styles import SELF_INSTRUCT
from selfinstruct.filters.likelihood import LikelihoodLimits, MaxLogprob
from selfinstruct.filters.rules import limits_of
from selfinstruct.filters.score_rules import NoveltyLimits

# As vLLM takes them: cores and ranges, `|` between the processes, or one of its words.
_CORES = re.compile(r"\d+(-\d+)?([,|]\d+(-\d+)?)*|all|auto|nobind")

Prompting = Literal["base", "chat", "auto"]


class ModelConfig(Section):
    """Which model writes, and how it is prompted."""

    name: str = semantic("bundled", "`bundled`, a name of `models list`, a folder or a hub name")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = semantic(
        "auto",
        "number type of weights and activations; auto: bfloat16 if the machine computes it fast",
    )
    prompting: Prompting = semantic("auto", "base: raw text; chat: the model's chat template")
    system: NonEmpty | None = semantic(None, "system prompt of chat prompting")
    thinking: bool = semantic(False, "let a reasoning model think first (chat prompting)")


class EngineConfig(Section):
    """Which engine runs the model, and how; null is detected for the machine.

    `engine_options.py` lists the keys that each engine knows.
    """

    name: str = throughput(DEFAULT_ENGINE, "engine that runs the model (`--engine`)")
    driver: Literal["auto", "inprocess", "async"] = throughput(
        "auto", "where vLLM runs: inprocess; async (its own process); auto: by CPU or GPU"
    )
    threads: int | str | None = throughput(
        None, "CPU cores: how many, or which, such as `0-15`; null: all allowed"
    )
    kv_cache_gb: float | None = throughput(None, "CPU memory for the KV cache, in GiB", gt=0)
    max_num_seqs: int | None = throughput(None, "sequences that run at once", ge=1)
    patience_minutes: float | None = throughput(
        60.0, "vLLM counts as hung after so many minutes without a sign of life; null: never", gt=0
    )
    base_url: tuple[str, ...] = throughput((), "addresses of servers, such as http://host:8000/v1")
    address: str | None = throughput(
        None, "the Ray cluster: auto, or host:6379; null: RAY_ADDRESS, or Ray on this machine alone"
    )
    replicas: int | None = throughput(
        None, "copies of the model on the Ray cluster; null: as many as its GPUs hold", ge=1
    )
    gpus_per_replica: int | None = throughput(
        None, "GPUs of a replica, all in one machine; null: 1 if the cluster has any", ge=1
    )
    context_length: int | None = semantic(None, "tokens of prompt and completion", ge=64)
    options: dict[str, Any] = semantic(
        {}, "other options of the engine, by its names; those that affect only speed may change"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ENGINE_OPTIONS:
            raise ValueError(no_engine(name, ENGINE_OPTIONS))
        return name

    @field_validator("*")
    @classmethod
    def _understood(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a key that the engine would ignore, unless it has its default value."""
        engine = ENGINE_OPTIONS.get(info.data.get("name", ""))
        key = str(info.field_name)
        if engine is None or key in EVERY_ENGINE | engine.keys:
            return value
        default = cls.model_fields[key].default
        if value != default:
            raise ValueError(
                f"{value!r} means nothing to the engine {engine.name!r}; "
                f"leave it at {json.dumps(default)}, or give another engine.name"
            )
        return value

    @field_validator("threads")
    @classmethod
    def _cores(cls, threads: int | str | None) -> int | str | None:
        which = isinstance(threads, str) and _CORES.fullmatch(threads)
        count = isinstance(threads, int) and threads > 0
        if threads is None or which or count:
            return threads
        raise ValueError(
            f"{json.dumps(threads)} is not a number of cores, such as 4, and names none, such as "
            "`0-15` or `0,2`"
        )

    @field_validator("options")
    @classmethod
    def _not_reserved(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        engine = ENGINE_OPTIONS.get(info.data.get("name", ""))
        if engine is None:
            return options
        for name in options:
            if name.replace("-", "_") in engine.reserved:
                instead = engine.reserved[name.replace("-", "_")]
                advice = f"set {instead} instead" if instead else "the scores depend on it"
                raise ValueError(f"{name} cannot be set as a {engine.title} option; {advice}")
        return options


class ClassifyConfig(Section):
    """Is the task classification? Few-shot, greedy (the paper, §3.2)."""

    exemplars: int = semantic(
        8, "examples in the prompt; half of them are classification tasks", ge=2
    )
    sampling: SamplingConfig = SamplingConfig(max_tokens=4)


class InstancesSettings(Section):
    """Inputs and outputs (the paper, §3.3), and the rules on them."""

    exemplars: int = semantic(4, "example tasks with their outputs in the prompt", ge=1)
    direct: bool = semantic(
        True, "chat prompting: send a task that needs no input as it is, as a user would type it"
    )
    direct_system: NonEmpty | None = semantic(
        None, "system prompt for `instances.direct`, if `model.system` is null"
    )
    # The paper: greedy. Of a chat model's answers, 63 of 199 were longer than 320 tokens.
    sampling: SamplingConfig = SamplingConfig(max_tokens=640)


class LikelihoodSettings(Section):
    """How probable the model finds its own texts (the paper, §3.4): docs/likelihood.md.

    Natural logarithms under the unmodified model distribution, averaged over the tokens.
    """

    gain: bool = semantic(
        False, "record how much likelier the task makes its output (one more request per output)"
    )


def _with_rules(section: str, settings: type[Section]) -> type[Section]:
    """Return a section of the config: its own settings, then the keys of its rules."""
    keys = {
        name: (info.annotation, info)
        for limits in limits_of(section)
        for name, info in limits.model_fields.items()
    }
    return create_model(
        f"{section.title()}Config", __base__=settings, __doc__=settings.__doc__, **cast("Any", keys)
    )


class RulesSettings(Section):
    """Rules on instructions (the paper's release, and mistakes of small models)."""


if TYPE_CHECKING:
    # The keys of the rules exist at run time only, and only the rules read them.
    InstancesConfig = InstancesSettings
    RulesConfig = RulesSettings

    class LikelihoodConfig(LikelihoodSettings, LikelihoodLimits, MaxLogprob):
        """Settings, and the keys of the rules."""

    NoveltyConfig = NoveltyLimits
else:
    InstancesConfig = _with_rules("instances", InstancesSettings)
    RulesConfig = _with_rules("rules", RulesSettings)
    LikelihoodConfig = _with_rules("likelihood", LikelihoodSettings)
    NoveltyConfig = _with_rules("novelty", Section)


class StopConfig(Section):
    """When to stop; the first that holds is the stop reason."""

    target: int = stopping(100, "number of tasks to generate", ge=1)
    min_yield: float = stopping(
        0.01, "stop below this share of tasks among the candidates of the latest rounds", ge=0, le=1
    )
    yield_rounds: int = stopping(3, "how many of the latest rounds the yield covers", ge=1)
    max_rounds: int | None = stopping(None, "maximum number of rounds", ge=1)
    max_tokens: int | None = stopping(None, "maximum number of generated tokens", ge=1)
    max_cost: float | None = stopping(None, "maximum cost of the tokens of all rounds", gt=0)
    price_in: float | None = stopping(None, "price of a million tokens of prompts", ge=0)
    price_out: float | None = stopping(None, "price of a million generated tokens", ge=0)

    @model_validator(mode="after")
    def _priced(self) -> StopConfig:
        if self.max_cost is not None and self.price_in is None and self.price_out is None:
            raise ValueError("max_cost needs prices; set price_in and price_out (per million)")
        return self

    def cost(self, prompt_tokens: int, generated_tokens: int) -> float | None:
        """Return what tokens cost, in the currency of the prices; None without prices."""
        if self.price_in is None and self.price_out is None:
            return None
        prices = (self.price_in or 0.0) * prompt_tokens + (self.price_out or 0.0) * generated_tokens
        return prices / 1e6


class RunConfig(Section):
    """The whole configuration; run.yaml stores it with every default filled in."""

    rules_version: int = semantic(
        RULES_VERSION,
        "version of the parser, the checks and the choice of templates; a run keeps its version",
        ge=1,
        le=RULES_VERSION,
    )
    seed: int = semantic(0, "seed of every draw and every sampled token", ge=0, lt=2**63)
    language: NonEmpty | None = semantic(
        None, "language of the tasks: de, vi or zh (docs/languages.md); null: English", before=None
    )
    seeds: str | None = field(
        "input", None, "seed tasks: a file, run or hub name (docs/data.md); null: the shipped ones"
    )
    seeds_format: NonEmpty | None = field(
        "input", None, "format of the seeds (`--format`); null: recognised from the columns"
    )
    seeds_columns: dict[str, str] = field(
        "input", {}, "columns of the seed file, by the names of selfinstruct's fields (`--columns`)"
    )
    skip_invalid: bool = field("input", False, "leave out unusable rows of the inputs")
    prompts: str | None = field("input", None, "folder of templates; null: the shipped ones")
    topics: str | None = field("input", None, "file of topics; each proposal gets one")
    avoid: str | None = field("input", None, "file of texts that no task may repeat")
    documents: str | None = field(
        "input", None, "file or folder of documents; each proposal shows one passage"
    )
    export_nulls: bool = semantic(
        True, "Parquet exports have null, not NaN, for a score that is unknown", before=False
    )
    overlap: bool = throughput(True, "propose a round while outputs of the one before are written")
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    propose: ProposeConfig = ProposeConfig()
    passages: PassagesConfig = PassagesConfig()
    classify: ClassifyConfig = ClassifyConfig()
    instances: InstancesConfig = InstancesConfig()
    rules: RulesConfig = RulesConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    stop: StopConfig = StopConfig()

    @model_validator(mode="after")
    def _one_subject(self) -> RunConfig:
        if self.documents and self.propose.style != SELF_INSTRUCT.name:
            raise ValueError(
                f"documents: the style {self.propose.style!r} shows no passages; leave "
                f"propose.style at {SELF_INSTRUCT.name!r}, or leave the documents out"
            )
        return self


def leaves(section: Section, prefix: str = "") -> Iterator[tuple[str, str, Any, str]]:
    """Yield (dotted key, kind, value, description) of every field, depth first."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, f"{prefix}{name}.")
            continue
        extra = info.json_schema_extra
        kind = str(extra["kind"]) if isinstance(extra, dict) else "semantic"
        yield f"{prefix}{name}", kind, value, info.description or ""


def semantic_values(config: RunConfig) -> dict[str, Any]:
    """Return the dotted keys that decide the content of a run, with their values."""
    values = {key: value for key, kind, value, _ in leaves(config) if kind == "semantic"}
    options = values.pop("engine.options")
    for name, value in options.items():
        if name not in ENGINE_OPTIONS[config.engine.name].speed:
            values[f"engine.options.{name}"] = value
    return values
