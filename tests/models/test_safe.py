"""A model's folder is data: no code of its own runs, and nothing in it is unpickled."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import selfinstruct
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.tokenizer import load_tokenizer
from selfinstruct.models import resolve_model
from selfinstruct.models.safe import SAFE, SAFE_WEIGHTS

PACKAGE = Path(str(selfinstruct.__file__)).parent
UNPICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CODE = """
from pathlib import Path
Path("{marker}").write_text("ran")
from transformers import PreTrainedTokenizerFast
class Custom(PreTrainedTokenizerFast):
    pass
"""


def trees() -> list[tuple[str, ast.AST]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(p.name, ast.parse(p.read_text(encoding="utf-8"))) for p in paths]


def test_every_model_is_loaded_without_its_code() -> None:
    """Own adapters aside: they were written a moment ago, into a folder of our own."""
    calls = 0
    for name, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "from_pretrained" or ast.unparse(node.func.value) == "PeftModel":
                continue
            calls += 1
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            spread = given.get(None)
            is_safe = spread in ("SAFE", "SAFE_WEIGHTS", "options")
            assert is_safe or given.get("trust_remote_code") == "False", (name, node.lineno)
            if "AutoModel" in ast.unparse(node.func.value):
                assert spread in ("SAFE_WEIGHTS", "options") or "gguf_file" in given, name
    assert calls >= 7
    assert SAFE["trust_remote_code"] is False
    assert SAFE_WEIGHTS == {**SAFE, "use_safetensors": True}


def test_nothing_is_unpickled() -> None:
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules = {str(node.module).split(".")[0]}
            else:
                modules = set()
            assert not modules & UNPICKLES, (name, modules)
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("torch.load", "eval", "exec"), name
                allowed = any(
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                    for keyword in node.keywords
                    if keyword.arg == "allow_pickle"
                )
                assert not allowed, name


def folder_of(path: Path, files: dict[str, Any]) -> Path:
    path.mkdir()
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / name).write_text(text)
    return path


def test_code_in_a_model_folder_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    own = {"AutoTokenizer": [None, "own.Custom"], "AutoConfig": "own.Config"}
    folder = folder_of(
        tmp_path / "model",
        {
            "config.json": {"model_type": "strange", "auto_map": own},
            "tokenizer_config.json": {"tokenizer_class": "Custom", "auto_map": own},
            "own.py": CODE.format(marker=marker),
            "model.safetensors": "",
        },
    )
    model = LocalModel("strange", folder, "digest", {"model_type": "strange"}, None)
    with pytest.raises(ConfigError, match="no tokenizer that loads"):
        load_tokenizer(model)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt"])
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "model", {"config.json": {"model_type": "gpt2"}, name: "x"})
    with pytest.raises(ConfigError, match=f"weights are in {name}; only safetensors are read"):
        resolve_model(str(folder), lambda *_: None)


def test_vllm_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfinstruct.engines import vllm

    class Tokenizer:
        backend_tokenizer = chat_template = eos_token_id = None

    for name in ("load_tokenizer", "TokenDecoder", "special_tokens", "further_ends"):
        monkeypatch.setattr(vllm, name, lambda *_: Tokenizer())
    model = LocalModel("m", tmp_path, "digest", {"max_position_embeddings": 64}, None)

    def arguments(**options: Any) -> dict[str, Any]:
        config = EngineConfig(options=options)
        return vllm.VllmEngine(model, ModelConfig(), config)._arguments()

    assert arguments()["trust_remote_code"] is False
    assert arguments()["load_format"] == "safetensors"
    assert arguments(trust_remote_code=True)["trust_remote_code"] is True  # the user says so
