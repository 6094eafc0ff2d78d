"""Presets: each is a valid config, says whether it was run, and its data can be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.presets import PRESETS, commented, joined, preset
from selfinstruct.config.schema import RunConfig, leaves
from selfinstruct.config.values import build_config, read_yaml
from selfinstruct.inputs.seeds import parse_seeds
from selfinstruct.prompts.language import read_language
from selfinstruct.verdicts.pool import near_duplicates

FOLDER = Path(__file__).resolve().parents[2] / "selfinstruct" / "config" / "presets"
SCRIPTS = {
    "zh": r"[\u4e00-\u9fff]",
    "vi": r"[ăâđêôơưạảấầẩậắặẹẻếềểệịọỏốồổộớờởợụủứừửựỳ]",
    "de": r"[äöüß]",
}


def keys_of(values: dict[str, object], prefix: str = "") -> set[str]:
    """The dotted keys of a config's values; options of an engine count as one."""
    found = set()
    for key, value in values.items():
        if isinstance(value, dict) and value and f"{prefix}{key}" != "engine.options":
            found |= keys_of(value, f"{prefix}{key}.")
        else:
            found.add(f"{prefix}{key}")
    return found


def test_every_file_is_a_preset() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_whether_it_was_run(name: str) -> None:
    first = preset(name).head[0]
    assert ("never run on a GPU" in first.lower().replace("gpu", "GPU")) or name == "bundled"


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_a_preset_has_a_comment(name: str) -> None:
    one = preset(name)
    assert keys_of(dict(one.values)) == set(one.comments)


@pytest.mark.parametrize("name", PRESETS)
def test_a_written_config_is_the_preset(name: str, tmp_path: Path) -> None:
    """What is set is what the preset sets; nothing else is."""
    file = tmp_path / "mine.yaml"
    assert cli(["init", str(file), "--preset", name]) == 0
    one = preset(name, str(tmp_path))
    assert read_yaml(file) == dict(one.values)
    build_config(read_yaml(file), str(file))
    for data in one.data:
        assert (tmp_path / data).read_bytes() == one.data[data]
    for key in ("seeds", "topics"):
        if key in one.values:
            assert Path(one.values[key]).is_file()


@pytest.mark.parametrize("name", [name for name in PRESETS if "seeds" in preset(name).values])
def test_seeds_of_a_preset_can_be_used(name: str) -> None:
    one = preset(name)
    file = Path(one.values["seeds"]).name
    seeds = parse_seeds(one.data[file], file)
    assert len(seeds) >= 5
    assert all(seed.instances for seed in seeds)
    assert any(seed.is_classification for seed in seeds)
    assert list(near_duplicates(seeds)) == []
    if language := one.values.get("language"):
        assert read_language(language).config
        texts = " ".join(f"{seed.instruction} {seed.instances[0].output}" for seed in seeds)
        assert len(re.findall(SCRIPTS[language], texts)) >= 8


def test_a_model_a_domain_and_a_language_go_together(tmp_path: Path) -> None:
    both = joined([preset("8b-chat-24gb"), preset("veterinary")])
    assert both.values["propose"] == {"per_round": 128, "domain": "veterinary practice"}
    assert both.values["model"]["name"] == "Qwen/Qwen3-8B"
    for first, second in (("german", "veterinary"), ("bundled", "endpoint")):
        with pytest.raises(ConfigError, match=f"{first} and {second} both set"):
            joined([preset(first), preset(second)])


def test_every_key_is_in_the_file_with_its_default() -> None:
    """All that is a comment can be set by taking the `#` away."""
    text = commented(preset("bundled"), [])
    body = text.partition("on --resume.\n\n")[2]
    opened = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
    values = yaml.safe_load(opened)
    known = {key for key, *_ in leaves(RunConfig())} - {"rules_version"}
    assert keys_of(values) == known
    opened_config = build_config(values, "the opened file").model_dump()
    assert opened_config == build_config(preset("bundled").values, "it").model_dump()


def test_nothing_is_replaced_without_force(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    (tmp_path / "german-seeds.jsonl").write_text("mine")
    assert cli(["init", str(file), "--preset", "german"]) == 2
    assert "german-seeds.jsonl: exists" in capfd.readouterr().err
    assert not file.exists()
    assert cli(["init", str(file), "--preset", "german", "--force"]) == 0
    assert cli(["init", str(tmp_path)]) == 2
    assert "is a folder" in capfd.readouterr().err


def test_a_wrong_name_is_suggested(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli(["init", str(tmp_path / "x.yaml"), "--preset", "8b-chat-24"]) == 2
    assert "did you mean" in capfd.readouterr().err


def test_presets_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli(["init", "--list"]) == 0
    shown = capfd.readouterr().out
    assert all(name in shown for name in PRESETS)
