"""Model names: the catalogue, folders, the cache, and preparation that is whole or not there."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import cache_folder
from selfinstruct.models import CATALOGUE, is_prepared, prepare, prepare_model, resolve_model

BUNDLED = CATALOGUE["bundled"]


def quiet(what: str, share: float) -> None:
    """Progress that nobody sees."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELFINSTRUCT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake_conversion(entry: Any, gguf: Path, out: Path, progress: Any) -> None:
    """What the real one leaves, without its work."""
    out.mkdir()
    (out / "config.json").write_text('{"max_position_embeddings": 64}')
    (out / "model.safetensors").write_bytes(gguf.read_bytes())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFINSTRUCT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "selfinstruct"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/selfinstruct")
    monkeypatch.setenv("SELFINSTRUCT_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


def test_prepared_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = tmp_path / "weights.gguf"
    gguf.write_bytes(b"weights")
    monkeypatch.setattr(prepare, "gguf_of", lambda entry, work: gguf)
    monkeypatch.setattr(prepare, "_convert", fake_conversion)
    model = resolve_model("bundled", quiet)
    assert (model.path / "model.safetensors").read_bytes() == b"weights"
    assert model.context_length == 64
    monkeypatch.setattr(prepare, "_convert", lambda *_: pytest.fail("converted again"))
    assert resolve_model("bundled", quiet) == model
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == ["bundled-v1"]


def test_a_preparation_that_is_cut_off_is_not_taken_for_a_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = tmp_path / "weights.gguf"
    gguf.write_bytes(b"weights")
    monkeypatch.setattr(prepare, "gguf_of", lambda entry, work: gguf)

    def interrupted(entry: Any, gguf: Path, out: Path, progress: Any) -> None:
        fake_conversion(entry, gguf, out, progress)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_model(BUNDLED, quiet)
    assert not is_prepared(BUNDLED)
    # A kill leaves the work folder; the next preparation clears it away.
    left = cache / "models" / ".bundled-v1.tmp-killed"
    (left / "model").mkdir(parents=True)
    (left / "model" / "config.json").write_text("{}")
    assert not is_prepared(BUNDLED)
    monkeypatch.setattr(prepare, "_convert", fake_conversion)
    prepare_model(BUNDLED, quiet)
    assert is_prepared(BUNDLED)
    assert not left.exists()


def test_a_model_under_terms_must_be_accepted_first(cache: Path) -> None:
    with pytest.raises(ConfigError, match="--accept-license"):
        resolve_model("gemma-3-270m", quiet)
    assert not cache.exists()


def test_a_preparation_without_the_hub_is_the_same_model(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    for told in ("true", "false"):
        path.write_text(f'{{\n  "local_files_only": {told},\n  "vocab_size": 7\n}}')
        prepare._forget_environment(path)
        assert json.loads(path.read_text()) == {"local_files_only": False, "vocab_size": 7}


def test_another_checkpoint_of_the_same_size_is_another_model(model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    weights.write_bytes(b"a" * 5_000_000)
    before = resolve_model(str(model_folder), quiet)
    assert resolve_model(str(model_folder), quiet).digest == before.digest
    weights.write_bytes(b"a" * 3_000_000 + b"b" * 2_000_000)
    assert resolve_model(str(model_folder), quiet).digest != before.digest


def test_context_length_of_a_model_with_a_text_part(model_folder: Path) -> None:
    config = {"text_config": {"max_position_embeddings": 4096}}
    (model_folder / "config.json").write_text(json.dumps(config))
    assert resolve_model(str(model_folder), quiet).context_length == 4096


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RepositoryNotFoundError", "not found on the hub"),
        ("GatedRepoError", "its licence must be accepted first"),
    ],
)
def test_a_hub_name_that_cannot_be_had(
    error: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    kind = getattr(importlib.import_module("huggingface_hub.errors"), error)

    def refuse(*_: Any, **__: Any) -> None:
        raise kind.__new__(kind)

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(ConfigError, match=message):
        resolve_model("someone/some-model", quiet)
