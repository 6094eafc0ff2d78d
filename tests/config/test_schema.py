"""The configuration: fields and their kinds, and errors that name the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.config.engine_options import VLLM
from selfinstruct.config.schema import RunConfig, Section, leaves, semantic_values
from selfinstruct.config.values import build_config, nested, overlay, parse_settings, read_yaml

KINDS = {"semantic", "stopping", "throughput", "input"}


def fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Walk the classes, where `leaves` walks the values."""
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


FIELDS = dict(fields(RunConfig))


@pytest.mark.parametrize("key", FIELDS)
def test_every_field_has_a_kind_and_a_description(key: str) -> None:
    extra = FIELDS[key].json_schema_extra
    assert isinstance(extra, dict)
    assert extra["kind"] in KINDS
    assert FIELDS[key].description


def test_leaves_are_the_fields_in_order() -> None:
    rows = list(leaves(RunConfig()))
    assert [key for key, _, _, _ in rows] == list(FIELDS)
    assert {kind for _, kind, _, _ in rows} == KINDS
    assert all(description for _, _, _, description in rows)


def test_the_papers_numbers_are_the_defaults() -> None:
    values = {key: value for key, _, value, _ in leaves(RunConfig())}
    paper = {
        "propose.in_context": 8,
        "propose.from_seeds": 6,
        "propose.list_length": 16,
        "propose.sampling.temperature": 0.7,
        "propose.sampling.presence_penalty": 2.0,
        "classify.sampling.temperature": 0.0,
        "instances.sampling.temperature": 0.0,
        "rules.min_words": 4,
        "rules.max_words": 150,
        "novelty.threshold": 0.7,
    }
    assert {key: values[key] for key in paper} == paper


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("seed", "many"),
        ("novelty.threshold", 1.01),
        ("novelty.threshold", -0.1),
        ("novelty.threshold", float("nan")),
        ("novelty.threshold", "high"),
        ("novelty.threshold", None),
        ("stop.target", 0),
        ("stop.target", 1.5),
        ("stop.min_yield", 2),
        ("stop.yield_rounds", 0),
        ("rules.min_words", -1),
        ("rules.max_repetition", 1.5),
        ("rules.keywords", "draw"),
        ("propose.per_round", 0),
        ("propose.sampling.temperature", -0.1),
        ("propose.sampling.temperature", float("inf")),
        ("propose.sampling.top_p", 0),
        ("propose.sampling.max_tokens", 0),
        ("classify.exemplars", 1),
        ("instances.max_per_instruction", 0),
        ("engine.driver", "fast"),
        ("engine.kv_cache_gb", 0),
        ("engine.context_length", 63),
        ("engine.threads", 0),
        ("model.prompting", "loud"),
        ("model.thinking", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(nested({key: value}), "here.yaml")
    message = str(caught.value)
    assert message.startswith(f"here.yaml: {key}: ")
    assert json.dumps(value) in message


@pytest.mark.parametrize(
    ("key", "sibling"),
    [
        ("treshold", "novelty"),
        ("novelty.treshold", "threshold"),
        ("propose.sampling.temp", "temperature"),
        ("engine.gpu_memory_utilization", "options"),
    ],
)
def test_an_unknown_key_is_named_beside_those_there_are(key: str, sibling: str) -> None:
    with pytest.raises(ConfigError, match=f"here.yaml: unknown key '{key}'") as caught:
        build_config(nested({key: 1}), "here.yaml")
    assert sibling in str(caught.value).partition("keys there are:")[2]


@pytest.mark.parametrize("value", [None, 3, "x", [1]])
def test_a_section_that_is_no_mapping_is_named(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"here\.yaml: novelty: "):
        build_config({"novelty": value}, "here.yaml")


def test_a_key_that_is_no_text_is_named() -> None:
    with pytest.raises(ConfigError, match=r"here\.yaml: novelty\.1: "):
        build_config({"novelty": {1: 2}}, "here.yaml")


def test_all_errors_are_told_at_once() -> None:
    values = {"novelty": {"treshold": 0.6}, "stop": {"target": 0}}
    with pytest.raises(ConfigError) as caught:
        build_config(values, "here.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "'novelty.treshold'" in lines[0]
    assert "stop.target" in lines[1]


@pytest.mark.parametrize(
    ("propose", "what"),
    [
        ({"from_seeds": 9}, "from_seeds 9 is above in_context 8"),
        ({"list_length": 8}, "list_length 8 leaves no room after 8 tasks"),
    ],
)
def test_numbers_of_tasks_that_contradict_each_other(propose: dict[str, int], what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        build_config({"propose": propose}, "here.yaml")
    assert "here.yaml: propose: " in str(caught.value)


@pytest.mark.parametrize("stage", ["propose", "classify", "instances"])
def test_one_sampling_value_leaves_the_stages_others(stage: str) -> None:
    before = getattr(RunConfig(), stage).sampling
    config = build_config({stage: {"sampling": {"temperature": 0.9}}}, "--set")
    after = getattr(config, stage).sampling
    assert after == before.model_copy(update={"temperature": 0.9})


def test_a_script_is_known_in_any_case() -> None:
    assert build_config({"rules": {"script": "latin"}}, "--set").rules.script == "LATIN"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        RunConfig().novelty.threshold = 0.5


def test_a_configuration_survives_yaml() -> None:
    config = build_config({"rules": {"keywords": ["draw"]}, "engine": {"options": {"a": 1}}}, "x")
    stored = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
    assert build_config(stored, "run.yaml") == config


def test_semantic_values_leave_out_every_other_kind() -> None:
    values = semantic_values(RunConfig())
    others = {key for key, kind, _, _ in leaves(RunConfig()) if kind != "semantic"}
    assert not others & set(values)
    assert {"stop.target", "engine.threads", "overlap", "seeds"} <= others
    assert {"novelty.threshold", "model.name", "engine.context_length", "seed"} <= set(values)


def test_semantic_values_ignore_options_of_speed() -> None:
    options = dict.fromkeys(VLLM.speed, 1)
    config = build_config({"engine": {"options": options}}, "x")
    assert semantic_values(config) == semantic_values(RunConfig())


def test_semantic_values_hold_each_other_option_by_its_name() -> None:
    options = {"quantization": "fp8", "swap_space": 4}
    values = semantic_values(build_config({"engine": {"options": options}}, "x"))
    expected = semantic_values(RunConfig()) | {"engine.options.quantization": "fp8"}
    assert values == expected


def test_the_fingerprint_depends_on_values_alone() -> None:
    first = fingerprint({"a": 1, "b": (1, 2)})
    assert first == fingerprint({"b": [1, 2], "a": 1})
    assert first != fingerprint({"a": 1, "b": [2, 1]})
    assert len(first) == 16
    assert int(first, 16) >= 0


def test_read_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("novelty:\n  threshold: 0.6  # tight\nmodel: {name: é}\n", encoding="utf-8")
    assert read_yaml(path) == {"novelty": {"threshold": 0.6}, "model": {"name": "é"}}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_sets_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"novelty: [0.7", "is not a YAML text"),
        (b"a: b: c", "is not a YAML text"),
        (b"a: \xff", "is not UTF-8 text"),
        (b"a: !!python/object/apply:os.getcwd []", "is not a YAML text"),
        (b"- a", r'must hold `key: value` lines, not \["a"\]'),
        (b"threshold", 'must hold `key: value` lines, not "threshold"'),
        pytest.param(b"a: 2026-13-45", "is not a YAML text"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"run.yaml: {what}"):
        read_yaml(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file; check --config"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)


def test_settings_are_yaml_values() -> None:
    settings = [
        *("novelty.threshold=0.6", "rules.script=null", "rules.keywords=[draw, plot]"),
        *("model.name=a=b", "model.thinking=true", "novelty.threshold = 0.5"),
    ]
    assert parse_settings(settings) == {
        "novelty": {"threshold": 0.5},
        "rules": {"script": None, "keywords": ["draw", "plot"]},
        "model": {"name": "a=b", "thinking": True},
    }


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("novelty.threshold", "write key=value"),
        ("=0.6", "write key=value"),
        ("", "write key=value"),
        ("rules.keywords=[draw", "rules.keywords.* is not YAML"),
        pytest.param("seeds=2026-13-45", "seeds.* is not YAML"),
        pytest.param("seeds=0x_", "seeds.* is not YAML"),
    ],
)
def test_a_setting_that_cannot_be_read(setting: str, what: str) -> None:
    with pytest.raises(ConfigError, match=f"--set .*{what}"):
        parse_settings([setting])


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"novelty\.threshold"):
        parse_settings(["novelty=1", "novelty.threshold=0.6"])


def test_overlay_lays_values_on_values() -> None:
    base = {"a": {"x": 1, "y": {"z": 1}}, "b": [1, 2], "c": 1}
    over = {"a": {"y": {"w": 2}}, "b": [3], "c": {"d": 1}}
    assert overlay(base, over) == {
        "a": {"x": 1, "y": {"z": 1, "w": 2}},
        "b": [3],
        "c": {"d": 1},
    }
    assert base == {"a": {"x": 1, "y": {"z": 1}}, "b": [1, 2], "c": 1}
