"""Principles of good answers: files of them, and which one is drawn (docs/revise.md).

A file is a YAML list. Each entry has a name, the principle itself, a request for a critique, and a
request for a revision (Bai et al. 2022, arXiv:2212.08073, app. C).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.paths import user_path
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.common.texts import read_text, shown

SHIPPED = Path(__file__).parent / "revise" / "principles.yaml"
OPTION = "--principles"
_ENTRY = "- name: …, with principle, critique and revision"


@dataclass(frozen=True, slots=True)
class Principle:
    """A principle.

    principle: what a good answer does, in a sentence; a judge compares two answers by it.
    critique: asks what is wrong with an answer.
    revision: asks to rewrite it.
    """

    name: str
    principle: str
    critique: str
    revision: str


KEYS = tuple(field.name for field in fields(Principle))


@dataclass(frozen=True)
class Principles:
    """The principles of a file, from which one is drawn at a time.

    seed: of all draws.
    """

    all: tuple[Principle, ...]
    seed: int = 0

    @property
    def digest(self) -> str:
        """A digest of their texts and order."""
        return fingerprint({"principles": self.recorded})

    @property
    def recorded(self) -> list[dict[str, str]]:
        """The principles as JSON has them."""
        return [asdict(one) for one in self.all]

    def drawn(self, about: str) -> Principle:
        """Draw a principle for something, by its id."""
        return random.Random(derive_seed(self.seed, about, "principle")).choice(self.all)

    def in_order(self, about: str) -> list[Principle]:
        """Return all principles in an order that is drawn for something, by its id."""
        draws = random.Random(derive_seed(self.seed, about, "principles"))
        return draws.sample(self.all, len(self.all))


def principles_from(recorded: Sequence[Mapping[str, Any]]) -> tuple[Principle, ...]:
    """Return the principles that `recorded` gave."""
    return tuple(Principle(**{key: one[key] for key in KEYS}) for one in recorded)


def read_principles(file: str | Path | None = None) -> tuple[Principle, ...]:
    """Read a file of principles; the shipped one by default.

    Raises:
        ConfigError: it cannot be read or used; names file, line, value and fix.
    """
    path = SHIPPED if file is None else user_path(file, OPTION)
    text = read_text(path, OPTION)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or error
        raise ConfigError(f"{path}{line}: is not YAML ({what}); correct it") from error
    if root is None:
        raise ConfigError(f"{path}: is empty; write a list of entries {_ENTRY}")
    if not isinstance(root, yaml.SequenceNode):
        raise _bad(path, root, f"is no list; write entries {_ENTRY}")
    principles = tuple(_principle(path, node) for node in root.value)
    if not principles:
        raise _bad(path, root, f"is an empty list; write entries {_ENTRY}")
    names: set[str] = set()
    for principle, node in zip(principles, root.value, strict=True):
        if principle.name in names:
            raise _bad(path, node, f"name {shown(principle.name)} is there twice; change one")
        names.add(principle.name)
    return principles


def _principle(path: Path, node: yaml.Node) -> Principle:
    """Read one entry.

    Raises:
        ConfigError: a key is missing, unknown, twice there or has no text.
    """
    if not isinstance(node, yaml.MappingNode):
        raise _bad(path, node, f"is no entry ({shown(str(node.value))}); write {_ENTRY}")
    values: dict[str, str] = {}
    for key, value in _pairs(path, node):
        name = str(key.value)
        if name not in KEYS:
            hint = did_you_mean(name, KEYS)
            raise _bad(path, key, f"unknown key {shown(name)}; {hint}keys are {', '.join(KEYS)}")
        if name in values:
            raise _bad(path, key, f'"{name}" is there twice; leave one out')
        if not isinstance(value, yaml.ScalarNode):
            raise _bad(path, value, f'"{name}" is no text; write it as one, in quotes if needed')
        values[name] = " ".join(str(value.value).split())
        if not values[name] or value.tag == "tag:yaml.org,2002:null":
            raise _bad(path, value, f'"{name}" is empty; give a text')
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise _bad(path, node, f'"{missing[0]}" is missing; add it')
    return Principle(**values)


def _pairs(path: Path, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _bad(path, key, f"has no name as a key; keys are {', '.join(KEYS)}")
        yield key, value


def _bad(path: Path, node: yaml.Node, problem: str) -> ConfigError:
    return ConfigError(f"{path}:{node.start_mark.line + 1}: {problem}")
