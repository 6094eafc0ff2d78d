"""Servers of one model: which one is asked, how many requests at once, and what is retried.

- Requests whose prompts begin alike go to the same server, unless it is busier (`balance`).
- The number of requests in flight at a server starts at 16, or at the user's own number. It doubles
  with each round of answers until the server is at its limit (429, 503 or a timeout), is halved
  then, and grows by one a round afterwards.
- A server that cannot be reached is left out, and tried again after 1, 2, 4 … 30 s.
- Small questions, for tokens or a text, take no place among the requests in flight: a server that
  splits a prompt could write meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.engines.balance import due
from selfinstruct.models.endpoint import without_key

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a request that a server answers with an error, or in a broken form, is sent.
TRIES = 6
START, _LONGEST_PAUSE = 16, 30.0  # requests in flight at first; seconds
_LEAST, _ONCE_IN = 2.0, 1.0  # requests in flight; seconds
_SMALL_AT_ONCE = 8
MOST_IN_FLIGHT = 256
_REFUSED = (401, 403, 404)
_BUSY = (429, 503)


class BadReplyError(Exception):
    """A server's reply has not the form that its interface promises."""


class RequestFailedError(Exception):
    """A request failed for good: the server refuses it, or all tries are spent."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    request: seconds until a reply, before the request is sent again.
    outage: seconds without any server that answers, before the run stops.
    most: requests in flight at one server.
    """

    request: float = 600.0
    outage: float = 300.0
    most: int = MOST_IN_FLIGHT


@dataclass
class Server:
    """One server, its client, and what is known of its state."""

    url: str
    client: Any
    limit: float = START
    in_flight: int = 0
    free_at: float = 0.0
    pause: float = 0.0
    congested: bool = False
    halved: float = 0.0
    asked: int = field(default=0)

    @property
    def name(self) -> str:
        return self.url

    def is_up(self) -> bool:
        return time.monotonic() >= self.free_at

    def has_room(self, places: int) -> bool:
        return self.in_flight + places <= max(1, int(self.limit))

    def answered(self, most: int, places: int) -> None:
        self.pause = 0.0
        step = 1.0 / self.limit if self.congested else 1.0
        self.limit = min(float(most), self.limit + step * places)

    def is_busy(self, seconds: float) -> None:
        """Halve the requests in flight, at most once a second, and send none for a while."""
        if time.monotonic() >= self.halved + _ONCE_IN:  # once for all that are refused together
            self.limit = max(_LEAST, self.limit / 2)
            self.congested, self.halved = True, time.monotonic()
        self.free_at = max(self.free_at, time.monotonic() + seconds)

    def is_away(self) -> None:
        """Leave the server out for twice as long as the last time."""
        if time.monotonic() < self.free_at:
            return
        if self.pause == 0.0:
            log.warning("%s cannot be reached; trying again", self.url)
        self.pause = min(_LONGEST_PAUSE, self.pause * 2 or 1.0)
        self.free_at = time.monotonic() + self.pause


class Servers:
    """Sends requests to servers, from one event loop.

    Args:
        servers: all servers of the model.
        patience: how long to wait.
    """

    def __init__(self, servers: Sequence[Server], patience: Patience) -> None:
        self._servers = list(servers)
        self._patience = patience
        self._changed = asyncio.Event()
        self._small = asyncio.Semaphore(_SMALL_AT_ONCE)
        self._last_answer = time.monotonic()

    async def ask_small(self, send: Callable[[Any], Awaitable[T]]) -> T:
        """Send a small question until it is answered; it takes no place of a request.

        Raises: as `ask` does.
        """
        async with self._small:
            return await self._ask("", send, places=0)

    async def ask(self, beginning: str, send: Callable[[Any], Awaitable[T]]) -> T:
        """Send a request until it is answered.

        Args:
            beginning: of the prompt; the same beginning goes to the same server.
            send: sends it by a client, and reads the reply.

        Raises:
            RequestFailedError: it failed for good; says why.
            ConfigError: the server knows neither the key nor the model.
            EngineError: no server could be reached for too long.
        """
        return await self._ask(beginning, send, places=1)

    async def _ask(self, beginning: str, send: Callable[[Any], Awaitable[T]], *, places: int) -> T:
        failures, started = 0, time.monotonic()
        while True:
            server = await self._free_server(beginning, places)
            try:
                reply = await send(server.client)
            except Exception as error:
                wait, counts = self._failed(server, error)
                failures += counts
                silent = time.monotonic() - max(self._last_answer, started)
                if silent > self._patience.outage:
                    raise EngineError(
                        f"no completion from {server.url} for {silent:.0f} s: {_short(error)}"
                    ) from error
                if failures >= TRIES:
                    raise RequestFailedError(f"{_short(error)} ({failures} tries)") from error
            else:
                server.answered(self._patience.most, places)
                self._last_answer = time.monotonic()
                return reply
            finally:
                server.in_flight -= places
                self._changed.set()
            await asyncio.sleep(wait * 2 ** max(0, failures - 1) * random.uniform(0.5, 1.5))

    def _failed(self, server: Server, error: Exception) -> tuple[float, bool]:
        """Return how long to wait, and whether this counts as a try.

        Raises:
            RequestFailedError: the server refuses this request.
            ConfigError: the server refuses all requests.
        """
        import openai

        status = getattr(error, "status_code", None)
        if isinstance(error, openai.APITimeoutError):
            server.is_busy(1.0)
            return 0.5, True
        if isinstance(error, openai.APIConnectionError):
            if not _is_refused(error):
                return 0.2, True  # the connection broke; the server may be there
            server.is_away()
            return 0.1, False
        if status in _BUSY:
            server.is_busy(_told_to_wait(error))
            return 0.3, False
        if status in _REFUSED:
            raise ConfigError(f"{server.url}: {_short(error)}; {_advice(status)}") from error
        if status is not None and status < 500:
            raise RequestFailedError(_short(error)) from error
        known = (BadReplyError, openai.APIError, ValueError)
        if not isinstance(error, known):
            raise error
        return 0.5, True

    async def _free_server(self, beginning: str, places: int) -> Server:
        """Wait for a server with room for so many, and take the places."""
        waiting_since = time.monotonic()
        while True:
            server = self._choose(beginning, places)
            if server is not None:
                server.in_flight += places
                server.asked += places
                return server
            self._stop_if_gone(waiting_since)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 0.1)
            except TimeoutError:
                continue

    def _choose(self, beginning: str, places: int) -> Server | None:
        """Return the server that is due, if it has room and is not much busier than the others."""
        up = [server for server in self._servers if server.is_up()]
        room = [server for server in up if server.has_room(places)]
        return due(up, room, beginning)

    def _stop_if_gone(self, waiting_since: float) -> None:
        idle = not any(server.in_flight for server in self._servers)
        silent = time.monotonic() - max(self._last_answer, waiting_since)
        if idle and silent > self._patience.outage:
            urls = ", ".join(server.url for server in self._servers)
            raise EngineError(f"no answer from {urls} for {silent:.0f} s; is the server running?")


def _is_refused(error: Exception) -> bool:
    """Whether no connection was made at all."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")


def _told_to_wait(error: Exception) -> float:
    """Return the seconds of `Retry-After`; 0 where there are none."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    try:
        return min(_LONGEST_PAUSE * 2, max(0.0, float(value))) if value else 0.0
    except ValueError:
        return 1.0  # a date: the servers that this is for send seconds


def _short(error: Exception) -> str:
    """Return an error in one line, without its traceback or the key."""
    text = " ".join(str(error).split()) or type(error).__name__
    return without_key(text)[:300]


def _advice(status: int) -> str:
    if status == 404:
        return "check the address (it usually ends in /v1) and the model's name"
    return "set the key in the environment variable OPENAI_API_KEY"
