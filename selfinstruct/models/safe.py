"""How a model's folder is read: no code of its own runs, and nothing in it is unpickled."""

from __future__ import annotations

from typing import Any

# For transformers' `from_pretrained`. Without `trust_remote_code=False` it asks on the terminal.
SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
SAFE_WEIGHTS: dict[str, Any] = {**SAFE, "use_safetensors": True}
