"""The configurations in docs/accelerate: accelerate reads them, and we do what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.sharding import check_whole

DOCS = Path(__file__).parents[2] / "docs"
CONFIGS = DOCS / "accelerate"
PAGE = (DOCS / "gpus.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
LAUNCHED = [words for words in COMMANDS if words[:2] == ["accelerate", "launch"]]


def launched(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, str]]:
    """What accelerate makes of a command: its arguments, and the processes' environment."""
    from accelerate.commands import launch
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    monkeypatch.setattr(launch, "is_bf16_available", lambda *_: True)
    monkeypatch.chdir(DOCS.parent)
    arguments = launch.launch_command_parser().parse_args(words[2:])
    arguments, defaults, _ = launch._validate_launch_command(arguments)
    if not arguments.use_deepspeed:
        return arguments, prepare_multi_gpu_env(arguments)
    # As `accelerate launch` itself does.
    fields = ",".join([*defaults.deepspeed_config, "mixed_precision"])
    arguments.deepspeed_fields_from_accelerate_config = fields
    _, environment = prepare_deepspeed_cmd_env(arguments)
    return arguments, environment


def test_every_configuration_has_a_command() -> None:
    used = {Path(words[words.index("--config_file") + 1]).name for words in LAUNCHED}
    assert used == {path.name for path in CONFIGS.glob("*.yaml")}
    named = set(re.findall(r"accelerate/([\w.]+)\)", PAGE))
    assert named == {path.name for path in CONFIGS.iterdir()}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_it(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.num_processes == 2
    assert str(config.mixed_precision) == "bf16"
    kinds = {"gpus": "MULTI_GPU", "fsdp": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
    assert config.distributed_type.value == kinds[path.stem]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_agrees_with_trls_own(path: Path) -> None:
    """TRL ships configurations for the same four; what matters is the same in both."""
    import trl
    import yaml

    names = {"gpus": "multi_gpu", "fsdp": "fsdp2", "zero2": "zero2", "zero3": "zero3"}
    theirs_at = Path(trl.__file__).parent / "accelerate_configs" / f"{names[path.stem]}.yaml"
    ours, theirs = (yaml.safe_load(file.read_text()) for file in (path, theirs_at))
    # Chosen otherwise: how many GPUs, and where activations are checkpointed.
    free = {"num_processes", "fsdp_activation_checkpointing", "gradient_clipping"}
    for name, value in theirs.items():
        if name in ours and name not in free and not isinstance(value, dict):
            assert ours[name] == value, name
    for part in ("fsdp_config", "deepspeed_config"):
        ours_part, theirs_part = ours.get(part, {}), theirs.get(part, {})
        for name in ours_part.keys() - free:
            assert ours_part[name] == theirs_part[name], name


@pytest.mark.parametrize("words", LAUNCHED, ids=lambda words: Path(words[3]).stem)
def test_we_do_with_it_what_the_page_says(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, environment = launched(words, monkeypatch)
    assert arguments.module
    ours = arguments.training_script == "selfinstruct"
    name = Path(arguments.config_file).stem
    assert ours == (name in ("gpus", "zero2"))
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    if ours:
        check_whole({})
    else:
        with pytest.raises(ConfigError, match="spreads the weights over processes"):
            check_whole({})


def test_deepspeeds_own_configuration_is_accepted() -> None:
    check_whole({"deepspeed": str(CONFIGS / "zero2.json")})


def test_the_commands_of_ours_parse() -> None:
    from tests.cli.test_help import parse

    for words in LAUNCHED:
        if "selfinstruct" in words:
            parse(words[words.index("selfinstruct") + 1 :])
    for words in COMMANDS:
        if words[0] == "selfinstruct":
            parse(words[1:])


@pytest.mark.parametrize("number", [0, 1])
def test_the_commands_of_trl_parse(number: int, tmp_path: Path) -> None:
    """By TRL's own parser, with the file that `export --for trl` writes."""
    from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser
    from trl.scripts.utils import DatasetMixtureConfig

    from selfinstruct.dataset.trainers import TRAINERS

    words = [words for words in LAUNCHED if "trl.scripts.sft" in words][number]
    config = tmp_path / "train.trl.yaml"
    writer = next(trainer for trainer in TRAINERS if trainer.name == "trl")
    config.write_text(writer.snippet(tmp_path / "train.jsonl"))
    arguments = words[words.index("trl.scripts.sft") + 1 :]
    arguments[arguments.index("--config") + 1] = str(config)
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    _, training, model, data = parser.parse_args_and_config([*arguments, "--use_cpu", "true"])
    assert model.model_name_or_path == "Qwen/Qwen3-8B"
    assert training.output_dir == "outputs/sft"
    assert data.datasets[0].data_files == str(tmp_path / "train.jsonl")
    # FSDP checkpoints activations itself.
    assert training.gradient_checkpointing is ("zero3" in words[3])
