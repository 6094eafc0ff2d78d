"""Seeds of random draws: each is a hash of its purpose; nothing is seeded globally."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**31) from a hash of the parts (run seed, id, purpose…)."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
