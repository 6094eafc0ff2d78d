"""Upload an exported dataset and its card to the model hub."""

from __future__ import annotations

import re
from pathlib import Path

from selfinstruct.common.errors import ConfigError, PublishError, why
from selfinstruct.common.installing import install_line
from selfinstruct.models import hub_errors

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def check_repo(repo: str) -> None:
    """Refuse a bad repository name, or a missing library, before anything is written.

    Raises:
        ConfigError: a bad name, or `datasets` is not installed.
    """
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"--push {repo}: give OWNER/NAME, such as me/my-dataset")
    try:
        import datasets  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--push needs the datasets package: {install_line('datasets')}"
        ) from error


def push(repo: str, file: Path, card: str, *, private: bool) -> str:
    """Upload a card and an exported file; return the dataset's address.

    The card goes first: `datasets` adds to its header what the hub wants to know.

    Args:
        repo: OWNER/NAME.
        file: JSON lines or Parquet, as exported.
        card: the dataset card.
        private: make a new repository private.

    Raises:
        PublishError: the hub refuses, or cannot be reached; the file stays as it is.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        api.upload_file(
            path_or_fileobj=card.encode(),
            path_in_repo="README.md",
            repo_id=repo,
            repo_type="dataset",
            commit_message="Dataset card",
        )
        with file.open("rb") as opened:  # the name need not say what it is
            is_parquet = opened.read(4) == b"PAR1"
        read = Dataset.from_parquet if is_parquet else Dataset.from_json
        read(str(file)).push_to_hub(repo, split="train")
    except (*hub_errors(), DatasetsError) as error:
        raise PublishError(
            f"{repo}: the hub did not take it ({why(error)}); log in with `hf auth login`, check "
            f"the name, and try again: {file} is complete"
        ) from error
    return str(url)
