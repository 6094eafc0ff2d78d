"""Models of every convention are trained, saved, loaded by transformers, chat, and stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import yaml

from selfinstruct.common.records import LocalModel
from selfinstruct.train.data.preference_rows import PreferenceSplit
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import task_row
from selfinstruct.train.recipe import Job, Source
from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardSettings
from selfinstruct.train.recipes.sft import SFT, SftSettings
from selfinstruct.train.runner import train as run_recipe
from tests.train import dpo_runs
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_model

ROWS = [task_row(f"r{n}", f"Colour {n}?", f"Colour {n}?", "red") for n in range(16)]
LEARNT = {
    "num_train_epochs": 12,
    "learning_rate": 0.01,
    "bf16": False,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
}
SOURCE = Source(Path("rows.jsonl"))


def model_for(name: str, folder: Path, head_dim: int = 8) -> LocalModel:
    convention = CONVENTIONS[name]
    return tiny_model(
        folder,
        head_dim=head_dim,
        template=convention.template,
        bos=convention.bos,
        eos=convention.eos,
        control=convention.control,
    )


def sft(model: LocalModel, out: Path) -> None:
    settings = SftSettings("full", max_length=256, diverse=False, patience=0, options=LEARNT)
    run_recipe(SFT, Job(Split(ROWS, [], []), model, out, settings, source=SOURCE), lambda _: None)


def assert_ends(out: Path, end: str) -> None:
    """The saved tokenizer, generation config and model config all have the end of an answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.eos_token == end
    generation = json.loads((out / "generation_config.json").read_text())
    assert generation["eos_token_id"] == tokenizer.eos_token_id
    assert json.loads((out / "config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_is_trained_chats_and_stops(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    out = tmp_path / "out"
    sft(model_for(name, tmp_path / "tiny"), out)
    assert_ends(out, CONVENTIONS[name].ends)
    tokenizer = AutoTokenizer.from_pretrained(out)
    network = AutoModelForCausalLM.from_pretrained(out)
    asked = [{"role": "user", "content": "Colour 3?"}]
    inputs = tokenizer.apply_chat_template(
        asked,
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
        enable_thinking=False,
    )
    written = network.generate(**inputs, do_sample=False, max_new_tokens=40)
    answer = written[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(answer).strip() == f"red{CONVENTIONS[name].ends}"
    chat: Any = pipeline("text-generation", model=str(out))
    if name != "Qwen 3":  # it would think first, which it was not trained to
        [said] = chat(asked, do_sample=False, max_new_tokens=40)
        assert said["generated_text"][-1]["content"].strip() == "red"


@pytest.mark.parametrize("name", ["Gemma 2", "Phi", "Qwen 2.5, base", "no template"])
def test_preferences_and_rewards_end_alike(name: str, tmp_path: Path) -> None:
    model, end = model_for(name, tmp_path / "tiny"), CONVENTIONS[name].ends
    split = PreferenceSplit(dpo_runs.ROWS[:8], [])
    once = {"num_train_epochs": 1}
    dpo_runs.train(model, tmp_path / "dpo", split, fresh=1, fresh_tokens=2, options=once)
    assert_ends(tmp_path / "dpo", end)
    settings = RewardSettings(max_length=256, options={**dpo_runs.QUICK, **once})
    job = Job(RewardData(split), model, tmp_path / "reward", settings)
    run_recipe(REWARD, job, lambda _: None)
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(tmp_path / "reward").eos_token == end


def header(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text()
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_the_card_names_base_library_and_licence(tmp_path: Path) -> None:
    model = model_for("SmolLM", tmp_path / "tiny")
    (model.path / "README.md").write_text("---\nlicense: mit\nbase_model: some/base\n---\n# It\n")
    of_folder = LocalModel(str(model.path), model.path, "digest", model.config)
    sft(of_folder, tmp_path / "out")
    card = header(tmp_path / "out")
    assert card["license"] == "mit"
    assert card["base_model"] == "some/base"
    assert card["library_name"] == "transformers"
    bundled = LocalModel("bundled", model.path, "digest", model.config)
    sft(bundled, tmp_path / "from-bundled")
    card = header(tmp_path / "from-bundled")
    assert card["license"] == "apache-2.0"
    assert card["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Gemma 2", "Qwen 2.5, base"])
def test_vllm_chats_with_it_and_stops(name: str, tmp_path: Path) -> None:
    """The real vLLM, in a process of its own, told no token to stop at."""
    import os
    import subprocess
    import sys

    pytest.importorskip("vllm")
    out = tmp_path / "out"
    sft(model_for(name, tmp_path / "tiny", head_dim=64), out)  # vLLM has none of 8 on a CPU
    script = tmp_path / "chat.py"
    script.write_text(
        "import json, sys\n"
        "from vllm import LLM, SamplingParams\n"
        "if __name__ == '__main__':\n"
        "    model = LLM(sys.argv[1], dtype='float32', enforce_eager=True, max_model_len=256)\n"
        "    how = SamplingParams(temperature=0, max_tokens=40)\n"
        "    turns = [{'role': 'user', 'content': 'Colour 3?'}]\n"
        "    [answer] = model.chat(turns, how, use_tqdm=False)[0].outputs\n"
        "    print(json.dumps({'text': answer.text, 'reason': answer.finish_reason}))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(out)],
        env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["text"].strip(), said["reason"]) == ("red", "stop")
