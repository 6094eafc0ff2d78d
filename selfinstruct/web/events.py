"""Server-sent events: they tell a page that something changed; it then loads the new state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

_EVERY_SECONDS = 1.0
# A comment at this interval keeps proxies from closing a silent connection.
_COMMENT_EVERY = 15


async def changes(
    look: Callable[[], Mapping[str, Any]],
    is_last: Callable[[Mapping[str, Any]], bool],
    every: float = _EVERY_SECONDS,
) -> AsyncIterator[str]:
    """Yield an event for each change of what `look` returns, the first at once.

    Args:
        look: returns the state as JSON can hold it; runs in a thread.
        is_last: whether a state is final: no other follows it.
        every: seconds between two calls of `look`.
    """
    before: Mapping[str, Any] | None = None
    silent = 0
    while True:
        now = await run_in_threadpool(look)
        if now != before:
            before, silent = now, 0
            yield f"event: change\ndata: {json.dumps(now)}\n\n"
            if is_last(now):
                yield "event: end\ndata: {}\n\n"
                return
        elif silent >= _COMMENT_EVERY:
            silent = 0
            yield ": still here\n\n"
        silent += 1
        await asyncio.sleep(every)


def event_stream(events: AsyncIterator[str]) -> StreamingResponse:
    """Return the response that streams events."""
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )
