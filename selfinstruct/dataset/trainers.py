"""Programs that train on an export, as one list: which format each reads, and its configuration.

The command line reads the list for `--help`, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.dataset.formats import Format

# Returns the text of a configuration for a file of rows.
Snippet = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A program that trains on an export.

    Attributes:
        name: of `--for`.
        format: that it reads.
        snippet: the configuration.
        suffix: of the configuration's file, after the name of the exported one; None: the file is
            `dataset_info.json`, which lists data sets by name.
        how: how to use it, in a line; `{config}` is the configuration's file, `{folder}` and
            `{name}` are those of the exported one.
    """

    name: str
    format: Format
    snippet: Snippet
    suffix: str | None
    how: str


def _trl(file: Path) -> str:
    return f"""# trl sft --config {file.stem}.trl.yaml --model_name_or_path MODEL --output_dir OUT
# The loss is on the completions alone.
datasets:
  - path: json
    data_files: {json.dumps(str(file))}
    split: train
"""


def _axolotl(file: Path) -> str:
    return f"""# Part of a configuration of axolotl. The loss is on the assistant's turns alone.
chat_template: tokenizer_default_fallback_chatml
datasets:
  - path: {json.dumps(str(file))}
    ds_type: json
    type: chat_template
    field_messages: messages
    message_property_mappings:
      role: role
      content: content
    roles_to_train: ["assistant"]
    train_on_eos: turn
"""


def _torchtune(file: Path) -> str:
    return f"""# Part of a configuration of torchtune. The loss is on the assistant's turns alone.
dataset:
  _component_: torchtune.datasets.chat_dataset
  source: json
  data_files: {json.dumps(str(file))}
  split: train
  conversation_column: conversations
  conversation_style: sharegpt
  train_on_input: False
"""


def _unsloth(file: Path) -> str:
    return f'''"""Read the data for Unsloth: `dataset = read(tokenizer)`, with the column `text`.

Give it to SFTTrainer with dataset_text_field="text", and pass the trainer through
unsloth.chat_templates.train_on_responses_only to have the loss on the answers alone.
"""

from datasets import load_dataset


def read(tokenizer):
    def text(row):
        return {{"text": tokenizer.apply_chat_template(row["messages"], tokenize=False)}}

    return load_dataset("json", data_files={json.dumps(str(file))}, split="train").map(text)
'''


def _llama_factory(file: Path) -> str:
    entry = {
        "file_name": file.name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "system_tag": "system",
        },
    }
    return json.dumps({file.stem: entry}, indent=2, ensure_ascii=False) + "\n"


TRAINERS = (
    Trainer("trl", Format.CHAT_COMPLETION, _trl, ".trl.yaml", "trl sft --config {config} …"),
    Trainer(
        "axolotl",
        Format.MESSAGES,
        _axolotl,
        ".axolotl.yaml",
        "put {config} into your configuration",
    ),
    Trainer(
        "llama-factory",
        Format.SHAREGPT,
        _llama_factory,
        None,
        "llamafactory-cli train … with dataset_dir: {folder}, dataset: {name}",
    ),
    Trainer(
        "unsloth",
        Format.MESSAGES,
        _unsloth,
        "_unsloth.py",
        "import `read` from {config} in your script",
    ),
    Trainer(
        "torchtune",
        Format.SHAREGPT,
        _torchtune,
        ".torchtune.yaml",
        "put {config} into your configuration",
    ),
)
_REGISTER = "dataset_info.json"


def trainer_of(name: str) -> Trainer:
    """Return a trainer by its name.

    Raises:
        ConfigError: there is none.
    """
    for trainer in TRAINERS:
        if trainer.name == name:
            return trainer
    known = ", ".join(trainer.name for trainer in TRAINERS)
    raise ConfigError(f"--for {name}: no such trainer; give one of {known}")


def config_path(trainer: Trainer, file: Path) -> Path:
    """Return where the configuration for an exported file goes.

    Raises:
        ConfigError: another file is there that is not ours to change.
    """
    if trainer.suffix is None:
        path = file.parent / _REGISTER
        _registered(path)
        return path
    return file.with_name(f"{file.stem}{trainer.suffix}")


def write_config(trainer: Trainer, file: Path) -> Path:
    """Write the configuration for an exported file beside it; return its path.

    In `dataset_info.json`, which lists data sets, the entry of the file's name is replaced.

    Raises:
        ConfigError: it cannot be written.
        WriteError: the disk is full or broken.
    """
    path = config_path(trainer, file)
    text = trainer.snippet(file)
    if trainer.suffix is None:
        entries = {**_registered(path), **json.loads(text)}
        text = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    with refusal_of(path):
        atomic.write_text(path, text)
    return path


def how_to_use(trainer: Trainer, file: Path, config: Path) -> str:
    """Return how the exported file is used, in a line."""
    return trainer.how.format(config=config, folder=file.parent, name=file.stem)


def _registered(path: Path) -> dict[str, object]:
    """Return the data sets that `dataset_info.json` lists already.

    Raises:
        ConfigError: it is another file.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); move it away") from error
    is_list = isinstance(entries, dict) and all(isinstance(v, dict) for v in entries.values())
    if not is_list:
        raise ConfigError(f"{path}: lists no data sets as LLaMA-Factory does; move it away")
    return dict(entries)
