"""Errors of requests, beside those of the rest of the program."""

from __future__ import annotations

from selfinstruct.common.errors import ConfigError


class NotFoundError(ConfigError):
    """There is no run, candidate or job of that name."""


class BusyError(ConfigError):
    """A running job is in the way of a request."""
