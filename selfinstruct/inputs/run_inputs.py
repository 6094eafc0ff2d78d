"""The inputs of a run: its config, seed tasks, templates, topics, and texts to avoid.

A new run reads them from the user's files. Later they are read from the run's own folder: a run is
self-contained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import SeedTask
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.history import config_of_its_time
from selfinstruct.config.schema import RunConfig
from selfinstruct.inputs.document_passages import document_passages
from selfinstruct.inputs.documents import PASSAGES_FILE, Passage, parse_passages
from selfinstruct.inputs.hub import hub_name
from selfinstruct.inputs.purposes import AVOID, TOPICS
from selfinstruct.inputs.read_data import DataFile, ReadAs, read_source
from selfinstruct.inputs.seed_rows import seeds_of, stored_seeds
from selfinstruct.inputs.seeds import parse_seeds, shipped_seeds
from selfinstruct.inputs.sources import find_source
from selfinstruct.inputs.text_data import stored_texts, texts_of
from selfinstruct.inputs.texts import parse_texts
from selfinstruct.prompts import PromptLibrary, load_prompts, prompts_from_files
from selfinstruct.store import Run

_KINDS = ("seeds", "topics", "avoid")
# Data, templates and mixture of an import. A run of imported tasks may have no seeds.
IMPORT_FILE = "import.yaml"

# Reads a source, named by an option.
Read = Callable[[str | Path, str, ReadAs], DataFile]


@dataclass(frozen=True)
class Inputs:
    """Files as a run keeps them (by name, such as `seeds.jsonl`), and their parsed content.

    `avoid` are (pool id, text) pairs that are in the novelty index from the start. `sources` are
    the names of what was read just now, by kind; those on the hub have their commit.
    """

    files: Mapping[str, bytes]
    seeds: list[SeedTask]
    topics: tuple[str, ...]
    avoid: tuple[tuple[str, str], ...]
    prompts: PromptLibrary
    passages: tuple[Passage, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def kept(self, kind: str) -> dict[str, bytes]:
        """Return the files of a kind."""
        return {name: text for name, text in self.files.items() if name.startswith(kind)}

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each kind of input that the run has."""
        digests = {
            f"{name.split('.')[0]}_sha256": hashlib.sha256(content).hexdigest()
            for name, content in self.files.items()
        }
        return {**digests, "prompts_sha256": fingerprint(dict(self.prompts.files))}

    @property
    def first_pool(self) -> list[tuple[str, str]]:
        """The (id, text) pairs in the novelty index before the first round.

        Worked tasks that prompts show are among them, as texts to avoid.
        """
        shown = self.prompts.passage_tasks if self.passages else self.prompts.style.tasks
        more = [(ids.avoid(n), text) for n, text in enumerate(shown, start=len(self.avoid) + 1)]
        return [*((seed.pool_id, seed.instruction) for seed in self.seeds), *self.avoid, *more]

    def as_stored(self) -> dict[str, bytes]:
        """Return the content of every file of a run's `inputs` folder, by its path there."""
        prompts = {f"prompts/{name}": text.encode() for name, text in self.prompts.files.items()}
        return {**self.files, **prompts}


def read_inputs(
    config: RunConfig, values: Mapping[str, Any], run: Run | None, read: Read
) -> Inputs:
    """Read the inputs of a run.

    A file that is given again on a resume, and that has the same rows as the run's own, counts as
    the run's own.

    Args:
        config: names the files of a new run.
        values: configuration values that the user gave; a file named here replaces the run's own.
        run: the run, or None for a new one.
        read: reads a source in any format (`dataset.read.read_any`).

    Raises:
        ConfigError: a file cannot be used; names file, line and fix.
        StoreError: the run's own inputs are damaged.
    """
    own = stored_inputs(run) if run is not None else None
    files = own.kept("import") if own is not None else {}
    sources: dict[str, str] = {}
    for kind in _KINDS:
        kept = own.kept(kind) if own is not None else {}
        given = values.get(kind)
        if run is not None and (given is None or _is_pinned(given, run.meta["config"].get(kind))):
            files |= kept
            continue
        source = getattr(config, kind) or (shipped_seeds() if kind == "seeds" else None)
        if source is None:
            continue
        data = read(source, f"--{kind}", _reading(kind, config))
        name, content, same = _stored(kind, data, own)
        files |= kept if same else {name: content}
        sources[kind] = data.name
    if own is not None and values.get("documents") is None:
        files |= own.kept("passages")
    elif config.documents:
        files[PASSAGES_FILE] = document_passages(config)
        sources["documents"] = config.documents
    if own is not None and values.get("prompts") is None:
        prompts = own.prompts
    else:
        folder = user_path(config.prompts, "--prompts") if config.prompts else None
        prompts = load_prompts(folder, config.language, config.propose.style)
    return replace(parse_inputs(files, prompts), sources=sources)


def _is_pinned(given: str, known: str | None) -> bool:
    """Whether a name on the hub is the one that a run was made with: its rows are in the run."""
    return given == known and hub_name(given) is not None and not Path(given).exists()


def _reading(kind: str, config: RunConfig) -> ReadAs:
    """Return how a kind is to be read: format and columns are those of the seeds."""
    if kind != "seeds":
        return ReadAs(skip_invalid=config.skip_invalid)
    return ReadAs(config.seeds_format, config.seeds_columns, config.skip_invalid)


def _stored(kind: str, data: DataFile, own: Inputs | None) -> tuple[str, bytes, bool]:
    """Return the file in which a run keeps rows, and whether its own file says the same."""
    if kind == "seeds":
        seeds = seeds_of(data)
        return *stored_seeds(data, seeds), own is not None and own.seeds == seeds
    purpose = AVOID if kind == "avoid" else TOPICS
    texts = texts_of(data, purpose)
    known: list[str] = []
    if own is not None:
        known = [text for _, text in own.avoid] if kind == "avoid" else list(own.topics)
    suffix, content = stored_texts(data, texts, purpose)
    return f"{kind}{suffix}", content, known == texts


def import_inputs(config: RunConfig, description: bytes) -> Inputs:
    """Return the inputs of a run of imported tasks: seeds and texts to avoid only where given.

    Args:
        config: names the files.
        description: content of `import.yaml`.

    Raises:
        ConfigError: a file cannot be used; names file, line and fix.
    """
    files: dict[str, bytes] = {IMPORT_FILE: description}
    for kind in ("seeds", "avoid"):
        given = getattr(config, kind)
        if given:
            source = find_source(given, f"--{kind}")
            name, content, _ = _stored(kind, read_source(source, _reading(kind, config)), None)
            files[name] = content
    folder = user_path(config.prompts, "--prompts") if config.prompts else None
    return parse_inputs(files, load_prompts(folder, config.language))


def stored_inputs(run: Run) -> Inputs:
    """Return the inputs that a run was made with.

    Raises:
        StoreError: a file is missing or was changed.
    """
    folder = run.path / "inputs"
    with _damage(folder):
        texts = {p.name: p.read_text("utf-8") for p in sorted((folder / "prompts").iterdir())}
        files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
        sources = {name: folder / name for name in files}
        inputs = parse_inputs(files, prompts_from_files(texts), sources)
        recorded = {key: value for key, value in run.meta["inputs"].items() if "sha256" in key}
        changed = [key for key, value in recorded.items() if inputs.digests.get(key) != value]
        if changed:
            names = ", ".join(key.removesuffix("_sha256") for key in changed)
            raise ValueError(f"{names}: not what the run was made with")
        return inputs


def stored_config(run: Run) -> RunConfig:
    """Return a run's stored configuration, with the values of its time.

    Raises:
        StoreError: it is damaged, or a newer program wrote it.
    """
    path = run.path / "run.yaml"
    version = run.meta["config"].get("rules_version")
    if isinstance(version, int) and version > RULES_VERSION:
        raise StoreError(
            f"{path}: rules_version {version} is newer than this program knows "
            f"({RULES_VERSION}); upgrade selfinstruct"
        )
    with _damage(path):
        return config_of_its_time(run.meta["config"], str(path))


def parse_inputs(
    files: Mapping[str, bytes], prompts: PromptLibrary, sources: Mapping[str, Path] | None = None
) -> Inputs:
    """Parse the files of a run's `inputs` folder.

    Args:
        files: content by name, such as `seeds.jsonl`.
        prompts: the templates.
        sources: where each was read from, for messages.

    Raises:
        ConfigError: one of them cannot be used.
    """
    seeds: list[SeedTask] = []
    topics: list[str] = []
    avoid: list[str] = []
    passages: tuple[Passage, ...] = ()
    for name, content in files.items():
        source = (sources or {}).get(name, Path(name))
        if name.startswith("seeds"):
            seeds = parse_seeds(content, source)
        elif name.startswith("topics"):
            topics = parse_texts(content, source, "--topics")
        elif name.startswith("avoid"):
            avoid = parse_texts(content, source, "--avoid")
        elif name.startswith("passages"):
            passages = parse_passages(content, source)
    if not seeds and IMPORT_FILE not in files:
        raise ConfigError("no seed tasks; check --seeds")
    numbered = tuple((ids.avoid(number), text) for number, text in enumerate(avoid, start=1))
    return Inputs(dict(files), seeds, tuple(topics), numbered, prompts, passages=passages)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (ConfigError, OSError, ValueError, RecursionError, KeyError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); restore it from a backup") from error
