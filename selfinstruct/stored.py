"""What a run was made with, read back from its folder: config, seed tasks, templates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfinstruct.config import RunConfig, build_config, fingerprint
from selfinstruct.errors import ConfigError, StoreError
from selfinstruct.prompts import PromptLibrary, prompts_from_files
from selfinstruct.records import SeedTask
from selfinstruct.seeds import parse_seeds, read_seed_bytes, seeds_digest
from selfinstruct.store import Run


def stored_config(run: Run) -> RunConfig:
    """Return the configuration that a run was last known by.

    Raises:
        StoreError: it is damaged.
    """
    path = run.path / "run.yaml"
    with _damage(path):
        return build_config(run.meta["config"], str(path))


def stored_seeds(run: Run) -> tuple[bytes, list[SeedTask]]:
    """Return the seed file that a run was made with, and the tasks in it.

    Raises:
        StoreError: it is damaged.
    """
    path = run.path / "inputs" / "seeds.jsonl"
    with _damage(path):
        content = read_seed_bytes(path)
        _compare(seeds_digest(content), run, "seeds_sha256")
        return content, parse_seeds(content, path)


def stored_prompts(run: Run) -> PromptLibrary:
    """Return the templates that a run was made with.

    Raises:
        StoreError: they are damaged.
    """
    folder = run.path / "inputs" / "prompts"
    with _damage(folder):
        prompts = prompts_from_files(
            {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}
        )
        _compare(prompts_digest(prompts), run, "prompts_sha256")
        return prompts


def prompts_digest(prompts: PromptLibrary) -> str:
    """Return a digest of every template file."""
    return fingerprint(dict(prompts.files))


def _compare(digest: str, run: Run, name: str) -> None:
    if digest != run.meta["inputs"].get(name):
        raise ValueError("is not what the run was made with")


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (ConfigError, OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path}: is damaged ({error}); restore it from a backup") from error
