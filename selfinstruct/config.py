"""The configuration of a run: every number a field, with its default and its source.

Each field is of one kind. *semantic*: decides what is generated or accepted; refused when it
changes on resume. *stopping*: when to stop; free, raising a target grows the run.
*throughput*: how fast; free. *input*: a path whose content is compared instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from selfinstruct.engine_options import DEFAULT_ENGINE, ENGINE_OPTIONS, EVERY_ENGINE, no_engine

NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Prompting = Literal["base", "chat", "auto"]

# The words of the paper's release (its `generate_instructions` filter): tasks that a text
# model cannot do, because they need eyes, ears, hands or a disk. (The release also has
# "go to", which rejects whoever cannot go to sleep; and lacks photos.)
UNSUITABLE_KEYWORDS = [
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "video", "videos", "audio", "music", "flowchart", "diagram", "diagrams"),
    *("photo", "photos", "screenshot", "screenshots"),
]


def _field(kind: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"kind": kind}, **limits)


def _semantic(default: Any, description: str, **limits: Any) -> Any:
    return _field("semantic", default, description, **limits)


def _stopping(default: Any, description: str, **limits: Any) -> Any:
    return _field("stopping", default, description, **limits)


def _throughput(default: Any, description: str, **limits: Any) -> Any:
    return _field("throughput", default, description, **limits)


class Section(BaseModel):
    """A part of the configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SamplingConfig(Section):
    """How one stage samples. A cut-off by `min_p` is twice as fast on a CPU as `top_p`."""

    temperature: float = _semantic(0.0, "0 is greedy decoding", ge=0, le=5)
    top_p: float = _semantic(1.0, "nucleus cut-off (the paper: 0.5)", gt=0, le=1)
    top_k: int = _semantic(0, "keep the k likeliest tokens; 0 keeps all", ge=0)
    min_p: float = _semantic(0.0, "drop tokens below this share of the likeliest", ge=0, le=1)
    presence_penalty: float = _semantic(0.0, "penalty on tokens already written", ge=-2, le=2)
    frequency_penalty: float = _semantic(0.0, "penalty per time a token was written", ge=-2, le=2)
    repetition_penalty: float = _semantic(1.0, "divisor on logits of seen tokens", gt=0, le=2)
    max_tokens: int = _semantic(256, "longest completion, in tokens", ge=1)
    stop: tuple[str, ...] = _semantic((), "stop strings, beside those of the template")


class ModelConfig(Section):
    """Which model writes, and how it is spoken to."""

    name: str = _semantic("bundled", "`bundled`, a name of `models list`, a folder or a hub name")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = _semantic(
        "auto", "weights and activations; auto: bfloat16 where the machine is fast at it"
    )
    prompting: Prompting = _semantic("auto", "base: raw text; chat: the model's chat template")
    system: NonEmpty | None = _semantic(None, "system prompt of chat prompting")
    thinking: bool = _semantic(False, "let a reasoning model think first (chat prompting)")


class EngineConfig(Section):
    """Which engine runs the model, and how; null is found for the machine.

    What an engine understands of it is in `engine_options.py`.
    """

    name: str = _throughput(DEFAULT_ENGINE, "what runs the model (`--engine`)")
    driver: Literal["auto", "inprocess", "async"] = _throughput(
        "auto", "vLLM in this process (CPU) or in one of its own (GPU)"
    )
    threads: str | None = _throughput(None, "CPU cores to bind, such as `0-15`; null: all allowed")
    kv_cache_gb: float | None = _throughput(None, "CPU memory for the KV cache, in GiB", gt=0)
    max_num_seqs: int | None = _throughput(None, "sequences that run at once", ge=1)
    context_length: int | None = _semantic(None, "tokens of prompt and completion", ge=64)
    options: dict[str, Any] = _semantic(
        {}, "any other option of the engine, by its own name; those that only set speed are free"
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
        """Refuse a key that the engine would ignore, unless it is as it is by default."""
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


class ProposeConfig(Section):
    """Proposals of new instructions (the paper, §3.1 and its release)."""

    per_round: int = _semantic(16, "proposals of one round", ge=1, le=100_000)
    in_context: int = _semantic(8, "tasks shown in a prompt (the paper: 8)", ge=1)
    from_seeds: int = _semantic(6, "of these, seed tasks once others exist (the paper: 6)", ge=0)
    list_length: int = _semantic(16, "number of the last task of the list (the paper: 16)", ge=2)
    domain: NonEmpty | None = _semantic(None, "the field that all tasks are to be of")
    # The paper: temperature 0.7, top_p 0.5, presence penalty 2.
    sampling: SamplingConfig = SamplingConfig(
        temperature=0.7, min_p=0.05, presence_penalty=2.0, max_tokens=400
    )

    @model_validator(mode="after")
    def _consistent(self) -> ProposeConfig:
        if self.from_seeds > self.in_context:
            raise ValueError(f"from_seeds {self.from_seeds} is above in_context {self.in_context}")
        if self.list_length <= self.in_context:
            raise ValueError(
                f"list_length {self.list_length} leaves no room after {self.in_context} tasks"
            )
        return self


class ClassifyConfig(Section):
    """Is the task classification? Few-shot, greedy (the paper, §3.2)."""

    exemplars: int = _semantic(8, "tasks shown, half of them classification", ge=2)
    sampling: SamplingConfig = SamplingConfig(max_tokens=4)


class InstancesConfig(Section):
    """Inputs and outputs (the paper, §3.3), and the rules on them."""

    exemplars: int = _semantic(4, "worked tasks shown", ge=1)
    direct: bool = _semantic(
        True, "chat prompting: ask a task that points to no input as a user would, on its own"
    )
    direct_system: NonEmpty | None = _semantic(
        None, "system prompt of such answers, where `model.system` gives none"
    )
    max_per_instruction: int = _semantic(4, "instances kept of one instruction", ge=1)
    # The paper: greedy.
    sampling: SamplingConfig = SamplingConfig(max_tokens=320)
    truncated: bool = _semantic(True, "rule: cut off by the token limit or within a sentence")
    ends_with_colon: bool = _semantic(True, "rule: input or output ends with a colon")
    output_equals_input: bool = _semantic(True, "rule: the output is the input again")
    missing_input: bool = _semantic(True, "rule: points to a given thing, has no input (English)")
    conflicting_outputs: bool = _semantic(True, "rule: one input, different outputs")
    placeholder: bool = _semantic(True, "rule: placeholder text")
    refusal: bool = _semantic(True, "rule: refusals (English)")
    chatty_preamble: bool = _semantic(True, "rule: chatty openings (English)")
    prompt_echo: bool = _semantic(True, "rule: prompt markers, or the instruction repeated")
    max_repetition: float | None = _semantic(
        0.2, "rule: largest share of repeated word trigrams in an output; null: off", ge=0, le=1
    )


class RulesConfig(Section):
    """Rules on instructions (the paper's release, and what small models get wrong)."""

    min_words: int | None = _semantic(4, "fewest words (the paper: above 3); null: off", ge=0)
    max_words: int | None = _semantic(150, "most words (the paper: 150); null: off", ge=1)
    keywords: tuple[NonEmpty, ...] = _semantic(
        tuple(UNSUITABLE_KEYWORDS), "whole words, whatever their case; empty: off"
    )
    forbidden_starts: tuple[NonEmpty, ...] = _semantic(
        ("Write a program",), "reported as unsuitable_keyword (the paper's release)"
    )
    punctuation_start: bool = _semantic(True, "rule: starts with punctuation")
    script: Annotated[str, StringConstraints(to_upper=True)] | None = _semantic(
        "LATIN", "script of the letters, by its Unicode name (LATIN, CYRILLIC, CJK…); null: off"
    )
    prompt_echo: bool = _semantic(True, "rule: repeats the proposal prompt")
    placeholder: bool = _semantic(True, "rule: placeholder text")
    refusal: bool = _semantic(True, "rule: refusals (English)")
    chatty_preamble: bool = _semantic(True, "rule: chatty openings (English)")
    not_a_task: bool = _semantic(True, "rule: statements that ask for nothing (English)")
    truncated: bool = _semantic(True, "rule: cut off by the token limit, or no end in sight")
    max_repetition: float | None = _semantic(
        0.2, "rule: largest share of repeated word trigrams; null: off", ge=0, le=1
    )


class LikelihoodConfig(Section):
    """How probable the model itself finds what it wrote (the paper, §3.4): docs/likelihood.md.

    Natural logarithms under the unmodified model distribution, averaged over the tokens.
    """

    quantile: float | None = _semantic(
        0.05,
        "drop what is less likely than this share of the first candidates was; null: off",
        gt=0,
        lt=1,
    )
    calibration: int = _semantic(
        64, "candidates of a kind (instruction, output, label) to take the quantile of", ge=1
    )
    min_logprob: float | None = _semantic(
        None, "least nats per token, for every kind, instead of the quantile", le=0
    )
    max_logprob: float | None = _semantic(
        None, "most nats per token of an instruction or output: drops repetition", le=0
    )
    seed_bound: bool = _semantic(
        True, "guard: nothing less likely than the least likely of 48 seed tasks"
    )
    gain: bool = _semantic(
        False, "record how much likelier an output is for its task (a scoring request each)"
    )


class NoveltyConfig(Section):
    """ROUGE-L against every instruction of the pool (the paper, §3.4)."""

    threshold: float = _semantic(0.7, "F-measure above which it is a repeat", ge=0, le=1)
    audit_floor: float = _semantic(
        0.5, "F-measure from which the nearest neighbour is recorded, novel or not", ge=0, le=1
    )
    tokenizer: Literal["auto", "rouge", "unicode"] = _semantic(
        "auto", "tokens: rouge-score's `[a-z0-9]+`, Unicode words, or what suits each text"
    )


class StopConfig(Section):
    """When to stop; the first that holds gives the stop reason."""

    target: int = _stopping(100, "tasks wanted", ge=1)
    min_yield: float = _stopping(0.01, "least tasks per candidate in the last rounds", ge=0, le=1)
    yield_rounds: int = _stopping(3, "rounds that the yield is taken over", ge=1)
    max_rounds: int | None = _stopping(None, "rounds in all", ge=1)
    max_tokens: int | None = _stopping(None, "generated tokens in all", ge=1)


class RunConfig(Section):
    """The whole configuration; stored resolved in run.yaml."""

    seed: int = _semantic(0, "of every draw and every sampled token", ge=0, lt=2**63)
    seeds: str | None = _field("input", None, "seed tasks; null: those that are shipped")
    prompts: str | None = _field("input", None, "folder of templates; null: those shipped")
    topics: str | None = _field("input", None, "file of topics; each proposal is given one")
    avoid: str | None = _field("input", None, "file of texts that no task may repeat")
    overlap: bool = _throughput(True, "propose the next round while instances are written")
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    propose: ProposeConfig = ProposeConfig()
    classify: ClassifyConfig = ClassifyConfig()
    instances: InstancesConfig = InstancesConfig()
    rules: RulesConfig = RulesConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    stop: StopConfig = StopConfig()


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
    """Return the dotted keys that decide the content of a run, and their values."""
    values = {key: value for key, kind, value, _ in leaves(config) if kind == "semantic"}
    options = values.pop("engine.options")
    for name, value in options.items():
        if name not in ENGINE_OPTIONS[config.engine.name].speed:
            values[f"engine.options.{name}"] = value
    return values


def fingerprint(values: Mapping[str, Any]) -> str:
    """Return a SHA-256 (hex, 16 digits) of a mapping, independent of its order."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
