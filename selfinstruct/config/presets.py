"""Presets: configs to start from, for models, domains and languages (`selfinstruct init`).

Each is a YAML file in the folder `presets`. Its head says for what it is and whether it was run.
Each key has a comment. Data files, such as seed tasks, stand beside it under its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay

# In the order of `--list`: models, domains, languages.
PRESETS = (
    *("bundled", "8b-base-24gb", "8b-base-80gb", "8b-chat-24gb", "8b-chat-80gb"),
    *("32b-two-cards", "endpoint"),
    *("veterinary", "customer-support"),
    *("german", "vietnamese", "chinese"),
)
# Stands in a preset for the folder into which its data files are copied.
_FOLDER = "FOLDER"
_KEY = re.compile(r"^( *)(\w+):(?: [^#]*?)?(?:  # (.*))?$")


@dataclass(frozen=True)
class Preset:
    """A config to start from.

    Attributes:
        head: what it is for and whether it was run, without `#`.
        values: its keys, nested.
        comments: the comment of each dotted key.
        data: the data files that its values name, and their content.
    """

    name: str
    head: tuple[str, ...]
    values: Mapping[str, Any]
    comments: Mapping[str, str]
    data: Mapping[str, bytes]


def preset(name: str, folder: str = "") -> Preset:
    """Return a preset.

    Args:
        name: one of `PRESETS`.
        folder: where its data files will lie; the values name them there.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"--preset {name}: no such preset; {did_you_mean(name, PRESETS)}there are: "
            f"{', '.join(PRESETS)}"
        )
    shipped = Path(str(resources.files("selfinstruct.config"))) / "presets"
    lines = (shipped / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    head = tuple(line[2:] for line in lines if line.startswith("# "))
    values = yaml.safe_load("\n".join(lines)) or {}
    for key, value in values.items():
        if isinstance(value, str) and value.startswith(f"{_FOLDER}/"):
            values[key] = str(Path(folder) / value.removeprefix(f"{_FOLDER}/"))
    data = {file.name: file.read_bytes() for file in shipped.glob(f"{name}-*") if _is_data(file)}
    return Preset(name, head, values, _comments(lines), data)


def _is_data(file: Path) -> bool:
    return file.suffix != ".yaml"


def _comments(lines: Sequence[str]) -> dict[str, str]:
    """Return the comments behind the keys of a YAML text, by dotted key."""
    comments: dict[str, str] = {}
    path: list[str] = []
    for line in lines:
        found = _KEY.match(line)
        if found is None:
            continue
        path = [*path[: len(found[1]) // 2], found[2]]
        if found[3]:
            comments[".".join(path)] = found[3]
    return comments


def joined(presets: Sequence[Preset]) -> Preset:
    """Return several presets as one.

    Raises:
        ConfigError: two of them set the same key, or the whole is no valid config.
    """
    values: dict[str, Any] = {}
    whose: dict[str, str] = {}
    for one in presets:
        for key in one.comments:
            if key in whose:
                raise ConfigError(
                    f"--preset: {whose[key]} and {one.name} both set {key}; name one of the two"
                )
            whose[key] = one.name
        values = overlay(values, one.values)
    build_config(values, " and ".join(one.name for one in presets))
    return Preset(
        name="+".join(one.name for one in presets),
        head=tuple(line for one in presets for line in one.head),
        values=values,
        comments={key: text for one in presets for key, text in one.comments.items()},
        data={file: content for one in presets for file, content in one.data.items()},
    )


def commented(of: Preset, first: Sequence[str]) -> str:
    """Return a config file: the keys of a preset, and all others as comments with their defaults.

    Args:
        of: the preset.
        first: lines that stand before it, without `#`.
    """
    lines = [*of.head, *first]
    head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    about = (
        "\n# A line without `#` is set. The others show the defaults: take the `#` away "
        "to set one,\n"
        "# and that of its section. Keys that decide what a run contains cannot change on"
        " --resume.\n\n"
    )
    return head + about + "".join(_section(RunConfig(), of, of.values, ""))


def _section(section: Any, of: Preset, values: Mapping[str, Any], prefix: str) -> list[str]:
    """Return the lines of a section, those that are set and those that are not."""
    lines: list[str] = []
    indent = "  " * prefix.count(".")
    for name, info in type(section).model_fields.items():
        default, key = getattr(section, name), f"{prefix}{name}"
        if key == "rules_version":
            continue  # for old runs: a new one has the newest
        if hasattr(type(default), "model_fields"):
            below = values.get(name, {})
            mark = "" if below else "# "
            lines += ["\n"] if not prefix else []
            lines.append(f"{mark}{indent}{name}:\n")
            lines += _section(default, of, below, f"{key}.")
        elif name in values:
            comment = of.comments.get(key) or info.description
            lines.append(f"{indent}{name}: {_yaml(values[name])}  # {comment}\n")
        else:
            lines.append(f"# {indent}{name}: {_yaml(default)}  # {info.description}\n")
    return lines


def _yaml(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1 << 20)
    return text.removesuffix("\n").removesuffix("\n...").strip()
