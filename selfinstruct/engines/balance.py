"""Which of several workers of one model is asked: rendezvous hashing with bounded loads.

Requests whose prompts begin alike go to the same worker, whose prefix cache has the beginning,
unless it is busier than the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

from selfinstruct.common.records import Prompt

# A worker may have a quarter more requests than its share before others get what is due to it.
_IMBALANCE = 1.25
_BEGINNING = 1000  # characters of a prompt that choose its worker


class Worker(Protocol):
    """What answers requests: a server, or a replica."""

    @property
    def name(self) -> str:
        """Differs from those of the others."""

    @property
    def in_flight(self) -> int:
        """The number of its requests that are not answered yet."""


W = TypeVar("W", bound=Worker)


def beginning_of(prompt: Prompt) -> str:
    """Return the beginning of a prompt, as far as it chooses the worker."""
    if isinstance(prompt, str):
        return prompt[:_BEGINNING]
    return "\0".join(message["content"] for message in prompt.messages)[:_BEGINNING]


def due(up: Sequence[W], room: Sequence[W], beginning: str) -> W | None:
    """Return the worker that a request is for; None if none has room.

    Args:
        up: those that work.
        room: those of them that take another request.
        beginning: of the request's prompt.
    """
    if not room:
        return None
    share = _IMBALANCE * (sum(worker.in_flight for worker in up) + 1) / len(up)
    within = [worker for worker in room if worker.in_flight < share] or room
    return max(within, key=lambda worker: _weight(worker.name, beginning))


def _weight(name: str, beginning: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{beginning}".encode(), digest_size=8).digest()
