"""Data sets through the library `datasets`: on the hub, saved in a folder, or a folder of files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import install_line
from selfinstruct.inputs.raw import RawRow

log = logging.getLogger(__name__)

_NAME = re.compile(
    r"(?:hf://datasets/)?(?P<repo>[\w.-]+/[\w.-]+)"
    r"(?::(?P<config>[^@#\s]+))?(?:@(?P<revision>[^#\s]+))?(?:#(?P<split>\S+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT_SPLIT = "train"
# Rows that are made Python values at once.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class HubName:
    """A data set on the hub: `owner/name`, `:config`, `@revision` and `#split`."""

    repo: str
    config: str | None = None
    revision: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{config}{revision}{f'#{self.split}' if self.split else ''}"


def hub_name(text: str) -> HubName | None:
    """Return the parts of a hub name, or None if a text cannot be one."""
    match = _NAME.fullmatch(text)
    return HubName(**match.groupdict()) if match else None


def pinned(name: HubName) -> HubName:
    """Return the name with the commit that its revision stands for now.

    Without a connection the revision stays as it is, and `datasets` looks into its own cache.
    """
    if name.revision and _COMMIT.fullmatch(name.revision):
        return name
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(name.repo, revision=name.revision, timeout=30).sha
    except Exception as error:  # noqa: BLE001 the HTTP client has errors of its own, by version
        log.debug("%s: its commit is not known (%s)", name, error)
        return name
    return HubName(name.repo, name.config, commit, name.split)


def hub_rows(name: HubName, option: str) -> Iterator[RawRow]:
    """Yield the rows of a data set on the hub.

    Raises:
        ConfigError: there is none, or it cannot be loaded. No code of a data set is run.
    """
    datasets = _library(str(name))

    def load() -> Any:
        return datasets.load_dataset(
            name.repo, name.config, revision=name.revision, split=name.split
        )

    yield from _rows(_loaded(load, str(name), option), name.split, str(name), option)


def folder_rows(folder: Path, split: str | None, option: str) -> Iterator[RawRow]:
    """Yield the rows of a folder that `save_to_disk` wrote, or of a folder of data files.

    Raises:
        ConfigError: it cannot be loaded.
    """
    datasets = _library(str(folder))
    saved = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))

    def load() -> Any:
        if saved:
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(str(folder), split=split)

    yield from _rows(_loaded(load, str(folder), option), split, str(folder), option)


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"{name}: needs the package datasets: {install_line('datasets')}"
        ) from error
    datasets.disable_progress_bars()
    return datasets


def _loaded(load: Any, name: str, option: str) -> Any:
    """Return what `load` returns; the library's complaint becomes ours."""
    try:
        return load()
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if _is_connection(error):
            raise ConfigError(
                f"{name}: the hub cannot be reached ({text}), and the data set is not in the "
                f"cache; check the connection, or give {option} a file or a folder"
            ) from error
        raise ConfigError(
            f"{name}: cannot be loaded ({text}); check {option}: a file, "
            "a folder, or OWNER/NAME[:CONFIG][@REVISION][#SPLIT] of a data set on the hub"
        ) from error


def _is_connection(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is of the connection.

    The client that `huggingface_hub` asks with has errors of its own, named in this way.
    """
    while error is not None:
        name = type(error).__name__
        if isinstance(error, ConnectionError) or name in ("ConnectError", "ConnectTimeout"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _rows(data: Any, split: str | None, name: str, option: str) -> Iterator[RawRow]:
    if isinstance(data, dict):
        wanted = split or (_DEFAULT_SPLIT if _DEFAULT_SPLIT in data else None)
        if wanted is None and len(data) == 1:
            wanted = next(iter(data))
        if wanted not in data:
            raise ConfigError(
                f"{name}: has the splits {', '.join(map(str, data))}; name one at the end of "
                f"{option}, such as {name.partition('#')[0]}#{next(iter(data), 'train')}"
            )
        data = data[wanted]
    number = 0
    for table in data.with_format("arrow").iter(batch_size=_BATCH):
        for value in table.to_pylist():
            number += 1
            yield RawRow(number, f"{name}: row {number}", value)
